"""Halving over our epochs: the weak stop, spared trials and last epochs do not, the past counts."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from bdw.evaluation import measure
from sweeps.early_stopping import EpochHalving
from sweeps.objective import SCORE

LAST_EPOCH = 4


@pytest.fixture
def halving() -> EpochHalving:
    return EpochHalving(LAST_EPOCH, measure("accuracy"))


def decisions(halving: EpochHalving, trial_id: str, accuracies: list[float], *, spared: bool = False) -> list[str]:
    trial: Any = SimpleNamespace(trial_id=trial_id, config={"labels": {"spared": spared}})
    found = []
    for epoch, accuracy in enumerate(accuracies, start=1):
        found.append(halving.on_trial_result(None, trial, {"epoch": epoch, SCORE: accuracy}))
    return found


def test_the_weak_are_stopped(halving: EpochHalving) -> None:
    assert decisions(halving, "good", [0.5, 0.6]) == ["CONTINUE", "CONTINUE"]
    assert decisions(halving, "bad", [0.1]) == ["STOP"]


def test_spared_trials_are_ranked_but_never_stopped(halving: EpochHalving) -> None:
    decisions(halving, "good", [0.5])
    assert decisions(halving, "cell", [0.4, 0.1, 0.1, 0.1], spared=True) == ["CONTINUE"] * 4
    assert decisions(halving, "between", [0.42]) == ["STOP"]


def test_nobody_is_stopped_at_the_last_epoch(halving: EpochHalving) -> None:
    decisions(halving, "good", [0.5, 0.6, 0.7, 0.8])
    assert decisions(halving, "late", [0.6, 0.7, 0.7, 0.1])[-1] == "CONTINUE"


def test_earlier_segments_count(halving: EpochHalving) -> None:
    halving.remember("old", {1: 0.9, 2: 0.9}.items())
    assert decisions(halving, "new", [0.5]) == ["STOP"]


@pytest.mark.parametrize(
    ("last_epoch", "rungs"), [(1, ()), (2, (1,)), (3, (1,)), (4, (1, 3)), (10, (2, 6)), (12, (3, 9)), (50, (12, 36))]
)
def test_rungs_lie_before_the_last_epoch(last_epoch: int, rungs: tuple[int, ...]) -> None:
    assert EpochHalving(last_epoch, measure("accuracy")).rungs == rungs


def test_a_third_goes_on_and_a_tie_goes_to_who_came_first(halving: EpochHalving) -> None:
    for number, accuracy in enumerate([0.1, 0.2, 0.3, 0.4, 0.5]):  # Each better than all before it.
        assert decisions(halving, f"better-{number}", [accuracy]) == ["CONTINUE"]
    assert decisions(halving, "second of six", [0.45]) == ["CONTINUE"]
    assert decisions(halving, "as good as the second", [0.45]) == ["STOP"]
    assert decisions(halving, "as good as the best", [0.5]) == ["CONTINUE"]
    assert decisions(halving, "no third of those", [0.5]) == ["CONTINUE"]
    assert decisions(halving, "third of ten", [0.5]) == ["STOP"]


def test_lower_is_better_for_a_loss() -> None:
    halving = EpochHalving(LAST_EPOCH, measure("pretext_loss"))
    assert decisions(halving, "good", [0.5]) == ["CONTINUE"]
    assert decisions(halving, "better", [0.4]) == ["CONTINUE"]
    assert decisions(halving, "worse", [0.6]) == ["STOP"]


def test_a_trial_that_was_not_measured_yet_goes_on(halving: EpochHalving) -> None:
    decisions(halving, "good", [0.9, 0.9, 0.9])
    assert decisions(halving, "measured every second epoch", [math.nan, 0.1]) == ["CONTINUE", "CONTINUE"]
    assert decisions(halving, "measured late", [math.nan, math.nan, 0.1]) == ["CONTINUE", "CONTINUE", "STOP"]


def test_a_trial_that_reports_an_epoch_again_is_no_rival_of_itself(halving: EpochHalving) -> None:
    assert decisions(halving, "continued", [0.5]) == ["CONTINUE"]
    assert decisions(halving, "continued", [0.5]) == ["CONTINUE"]
