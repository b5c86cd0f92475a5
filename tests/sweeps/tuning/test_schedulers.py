"""Schedulers by name: whom they stop, on rows as trials report them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from bdw.errors import InputError
from sweeps.study.objective import SCORE
from sweeps.tuning.goals import MEAN_GAIN, MEAN_RANK, Goals
from sweeps.tuning.schedulers import ASHA, Median, NoStopping, make_scheduler, parse_scheduler

ACCURACY = Goals.parse(["accuracy"])
STOP, CONTINUE = "STOP", "CONTINUE"


class Trial(SimpleNamespace):
    """Of Tune, as far as schedulers look at one."""

    def __hash__(self) -> int:
        return hash(self.trial_id)


def trial(name: str, *, spared: bool = False) -> Any:
    return Trial(trial_id=name, config={"labels": {"spared": spared}})


CONTROLLER = SimpleNamespace(get_live_trials=list)


def decisions(scheduler: Any, *reports: tuple[Any, float, float]) -> list[str]:
    """Of (trial, share of the budget, best score so far)."""
    return [
        str(scheduler.on_trial_result(CONTROLLER, who, {"budget_share": share, SCORE: score, "epoch": 1}))
        for who, share, score in reports
    ]


def make(text: str, goals: Goals = ACCURACY) -> Any:
    return make_scheduler(parse_scheduler(text, goals, None), goals.measure, optuna.create_study())


def test_asha_keeps_the_best_of_so_many() -> None:
    halving = make("asha:grace_period=0.25,reduction_factor=3")
    a, b, c, d = map(trial, "abcd")
    assert ASHA(grace_period=0.25, reduction_factor=3).rungs == (0.25, 0.75)
    assert ASHA().rungs == (0.5,)
    # The best of three goes on; a rung of one to three has one place, one of four has two.
    reports = [(a, 0.25, 0.5), (b, 0.25, 0.4), (c, 0.25, 0.6), (d, 0.25, 0.55), (a, 0.5, 0.1)]
    assert decisions(halving, *reports) == [CONTINUE, STOP, CONTINUE, CONTINUE, CONTINUE]


def test_asha_ranks_gains_against_those_of_an_earlier_start() -> None:
    """The study keeps gains where these are the objective; a loss of 0.9 that gained 0.3 beats one that gained 0.1."""
    study = optuna.create_study(direction="maximize")
    for gain in (0.1, 0.2):
        earlier = study.ask()
        study._storage.set_trial_intermediate_value(earlier._trial_id, 500, gain)
        study.tell(earlier, gain)
    goals = Goals.parse(["pretext_loss"])
    halving = make_scheduler(ASHA(), goals.measure, study, MEAN_GAIN)
    assert halving is not None
    rows = [{"budget_share": 0.5, SCORE: 0.9, MEAN_GAIN: 0.3}, {"budget_share": 0.5, SCORE: 0.1, MEAN_GAIN: 0.05}]
    found = [halving.on_trial_result(CONTROLLER, trial(name), row) for name, row in zip("ab", rows, strict=True)]
    assert found == [CONTINUE, STOP]


def test_the_median_rule_by_hand() -> None:
    """Mean scores of the others so far: 0.5, 0.6, 0.7, of which the median is 0.6."""
    rule = make("median:grace_period=0.25,min_samples_required=3")
    for name, score in (("a", 0.5), ("b", 0.6), ("c", 0.7)):
        assert decisions(rule, (trial(name), 0.25, score), (trial(name), 0.5, score)) == [CONTINUE, CONTINUE]
    assert decisions(rule, (trial("d"), 0.1, 0.0), (trial("d"), 0.5, 0.61)) == [CONTINUE, CONTINUE]
    assert decisions(rule, (trial("e"), 0.5, 0.1)) == [STOP]
    assert decisions(rule, (trial("spared", spared=True), 0.5, 0.1)) == [CONTINUE]
    at_the_end = (trial("f"), 1.0, 0.1)
    assert decisions(rule, at_the_end, (trial("g"), 0.5, math.nan)) == [CONTINUE, CONTINUE]


def test_the_median_rule_needs_company() -> None:
    rule = make("median:min_samples_required=2")
    assert decisions(rule, (trial("a"), 0.5, 0.9), (trial("b"), 0.5, 0.1)) == [CONTINUE, CONTINUE]
    assert decisions(rule, (trial("c"), 0.5, 0.1)) == [STOP]


def test_a_loss_is_stopped_where_it_is_high() -> None:
    goals = Goals.parse(["pretext_loss"])
    rule = make("median:min_samples_required=1", goals)
    assert decisions(rule, (trial("a"), 0.5, 0.2), (trial("b"), 0.5, 0.9), (trial("c"), 0.5, 0.1)) == [
        CONTINUE, STOP, CONTINUE,
    ]  # fmt: skip


def test_defaults() -> None:
    assert parse_scheduler(None, ACCURACY, None) == ASHA()
    assert parse_scheduler(None, ACCURACY, MEAN_GAIN) == ASHA()
    assert parse_scheduler(None, ACCURACY, MEAN_RANK) == NoStopping()
    assert parse_scheduler(None, Goals.parse(["accuracy", "seconds"]), None) == NoStopping()
    assert make("none") is None
    assert parse_scheduler("median:grace_period=0.3", ACCURACY, None) == Median(grace_period=0.3)


@pytest.mark.parametrize(
    ("text", "words", "over", "message"),
    [
        ("asa", ["accuracy"], None, r"scheduler: 'asa' is not known \(did you mean 'asha'\?\)"),
        ("pbt", ["accuracy"], None, "'pbt' cannot work: it changes settings within a run"),
        ("asha", ["accuracy", "seconds"], None, "accuracy:max seconds:min do not rank trials early"),
        ("asha", ["accuracy:min"], None, "do not rank trials early"),
        ("median", ["accuracy"], MEAN_RANK, "ranks are known among whole trials alone"),
        ("asha:grace_period=1", ["accuracy"], None, "grace_period: 1.0 cannot work"),
        ("asha:reduction_factor=1", ["accuracy"], None, "reduction_factor: 1 cannot work; allowed: at least 2"),
    ],
)
def test_what_cannot_work_is_refused(text: str, words: list[str], over: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_scheduler(text, Goals.parse(words), over)
