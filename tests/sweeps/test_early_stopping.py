"""Halving over our epochs: the weak stop, spared trials and last epochs do not, the past counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bdw.evaluation import measure
from sweeps.early_stopping import EpochHalving
from sweeps.objective import SCORE

LAST_EPOCH = 4


@pytest.fixture
def halving() -> EpochHalving:
    return EpochHalving(LAST_EPOCH, measure("accuracy"), grace_epochs=1)


def decisions(halving: EpochHalving, trial_id: str, accuracies: list[float], *, spared: bool = False) -> list[str]:
    trial: Any = SimpleNamespace(trial_id=trial_id, config={"labels": {"spared": spared}})
    halving.on_trial_add(None, trial)
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
