"""Table and page while a sweep runs: not too often, never in vain, and no reason for it to end."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest

from bdw.errors import InputError
from sweeps.runner.partial_results import SECONDS_BETWEEN, PartialResults

TRIAL: Any = None


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_written_when_trials_have_ended_and_not_too_often() -> None:
    clock, written = Clock(), []
    partial = PartialResults(lambda: written.append(clock.now), clock)

    def step(seconds: float) -> None:
        clock.now += seconds
        partial.on_step_end(0, [])

    step(2 * SECONDS_BETWEEN)
    assert written == [], "no trial has ended"
    partial.on_trial_complete(0, [], TRIAL)
    step(1)
    partial.on_trial_complete(0, [], TRIAL)
    step(1)
    assert written == [2 * SECONDS_BETWEEN + 1]
    step(SECONDS_BETWEEN)
    assert len(written) == 2
    step(SECONDS_BETWEEN)
    assert len(written) == 2, "nothing has changed"
    partial.on_trial_error(0, [], TRIAL)
    partial.write_due()
    partial.write_due()
    assert len(written) == 3, "what is broken off is written at once, and once"


@pytest.mark.parametrize("error", [OSError("the disk is full"), InputError("trials.csv: is damaged")])
def test_what_cannot_be_written_ends_nothing(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise error

    partial = PartialResults(fail)
    partial.on_trial_complete(0, [], TRIAL)
    with caplog.at_level(logging.WARNING):
        partial.write_due()
    assert f"cannot be written yet: {error}" in caplog.text


def test_tune_may_pickle_it() -> None:
    assert isinstance(pickle.loads(pickle.dumps(PartialResults(lambda: None))), PartialResults)
