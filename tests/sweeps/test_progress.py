"""What a sweep says where there is no terminal: plain lines, a sign of life every few seconds, an honest summary."""

from __future__ import annotations

import io
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from bdw.evaluation import measure
from sweeps.progress import SweepProgress

ACCURACY = measure("accuracy")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(clock: Clock, said: io.StringIO) -> SweepProgress:
    console = Console(file=said, force_terminal=False, width=60)
    return SweepProgress("search", measure=ACCURACY, num_trials=2, last_epoch=4, console=console, clock=clock)


def trial(name: str) -> Any:
    return SimpleNamespace(trial_id=name, config={"labels": {"title": f"eta {name}"}})


def row(epoch: int, accuracy: float = 0.5, **more: Any) -> dict[str, Any]:
    return {"epoch": epoch, "validation_score": accuracy, "kept_fraction": 0.9, **more}


def test_lines_of_a_whole_stage(progress: SweepProgress, said: io.StringIO, clock: Clock) -> None:
    good, bad = trial("1"), trial("2")
    with progress:
        clock.now = 5.0
        progress.on_step_end(0, [])
        for started in (good, bad):
            progress.on_trial_start(0, [], started)
        progress.on_trial_result(0, [], good, row(1))
        progress.on_trial_result(0, [], bad, row(1, float("nan")))
        clock.now = 20.0
        progress.on_step_end(0, [])
        progress.on_trial_complete(0, [], bad)
        progress.on_trial_result(0, [], good, row(4, 0.75))
        progress.on_trial_result(0, [], good, row(4, 0.75, ended=True))
        progress.on_trial_complete(0, [], good)
    assert said.getvalue().splitlines() == [
        "search  the first trial is starting  0:05",
        "search  eta 1  epoch 1/4  accuracy 50.0 %  kept 90 %",
        "search  eta 2  epoch 1/4  accuracy not measured  kept 90 %",
        "search  0 complete of 2  2 running  best accuracy 50.0 %  0:20 since the start  at most 1:00 left",
        "search  eta 2  stopped early after epoch 1",
        "search  eta 1  epoch 4/4  accuracy 75.0 %  kept 90 %",
        "search  1 complete, 1 pruned of 2  0 running  best accuracy 75.0 %  0:20 since the start",
    ]


def test_failures_say_why(progress: SweepProgress, said: io.StringIO) -> None:
    first, second = trial("1"), trial("2")
    with progress:
        progress.on_trial_start(0, [], first)
        progress.on_trial_result(0, [], first, {"failure": "NonFiniteError: loss"})
        progress.on_trial_complete(0, [], first)
        progress.on_trial_error(0, [], second)
    assert "search  eta 1  NonFiniteError: loss\n" in said.getvalue()
    assert "search  eta 2  crashed; the reason will stand in trials.csv\n" in said.getvalue()
    assert "2 failed of 2" in said.getvalue()


def test_signs_of_life_become_rarer(progress: SweepProgress, said: io.StringIO, clock: Clock) -> None:
    with progress:
        for second in range(7200):
            clock.now = float(second)
            progress.on_step_end(0, [])
    assert 300 < len(said.getvalue().splitlines()) < 900


def test_a_terminal_gets_a_table(clock: Clock) -> None:
    said = io.StringIO()
    console = Console(file=said, force_terminal=True, width=100, color_system=None)
    with SweepProgress(
        "search", measure=ACCURACY, num_trials=1, last_epoch=4, console=console, clock=clock
    ) as progress:
        progress.on_trial_start(0, [], trial("1"))
        progress.on_trial_result(0, [], trial("1"), row(1))
        progress.on_step_end(0, [])
    assert "eta 1" in said.getvalue()
    assert "50.0 %" in said.getvalue()


def test_tune_may_pickle_it(progress: SweepProgress) -> None:
    pickle.dumps(progress)
