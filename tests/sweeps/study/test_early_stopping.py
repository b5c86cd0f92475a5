"""Halving over shares of the budget: the weak stop, spared trials and those at their end do not, the past counts."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest

from bdw.evaluation import measure
from sweeps.study.early_stopping import RUNGS, BudgetHalving
from sweeps.study.objective import SCORE

EPOCHS = 4
EQUALLY_LONG = tuple(epoch / EPOCHS for epoch in range(1, EPOCHS + 1))
"""Shares of the budget behind a trial that does not prune; the second and the third are rungs."""


@pytest.fixture
def halving() -> BudgetHalving:
    return BudgetHalving(measure("accuracy"))


def decisions(
    halving: BudgetHalving,
    trial_id: str,
    scores: list[float],
    *,
    shares: tuple[float, ...] = EQUALLY_LONG,
    spared: bool = False,
) -> list[str]:
    """What a trial hears after each report, the best score so far at each share of the budget."""
    trial: Any = SimpleNamespace(trial_id=trial_id, config={"labels": {"spared": spared}})
    found = []
    for epoch, (share, score) in enumerate(zip(shares, scores, strict=False), start=1):
        found.append(halving.on_trial_result(None, trial, {"epoch": epoch, "budget_share": share, SCORE: score}))
    return found


def at_half(halving: BudgetHalving, trial_id: str, score: float, *, spared: bool = False) -> str:
    """What a trial hears at the first rung."""
    (heard,) = decisions(halving, trial_id, [score], shares=RUNGS[:1], spared=spared)
    return heard


def test_the_weak_are_stopped_at_half_of_their_budget(halving: BudgetHalving) -> None:
    assert decisions(halving, "good", [0.5, 0.6, 0.6]) == ["CONTINUE"] * 3
    assert decisions(halving, "bad", [0.1, 0.1]) == ["CONTINUE", "STOP"]


def test_and_at_three_quarters(halving: BudgetHalving) -> None:
    decisions(halving, "good", [0.5, 0.6, 0.9])
    assert decisions(halving, "good at first", [0.6, 0.7, 0.7]) == ["CONTINUE", "CONTINUE", "STOP"]


def test_spared_trials_are_neither_stopped_nor_ranked(halving: BudgetHalving) -> None:
    decisions(halving, "good", [0.5, 0.5])
    assert decisions(halving, "cell", [0.4, 0.1, 0.1, 0.1], spared=True) == ["CONTINUE"] * 4
    for number in range(5):
        assert at_half(halving, f"excellent cell {number}", 0.9, spared=True) == "CONTINUE"
    # If the cells above had taken places, the good one would be sixth of eight.
    assert at_half(halving, "as good", 0.5) == "CONTINUE"
    assert at_half(halving, "worse than the only ones that count", 0.42) == "STOP"


def test_nobody_is_stopped_at_the_end_of_its_budget(halving: BudgetHalving) -> None:
    decisions(halving, "good", [0.5, 0.6, 0.7, 0.8])
    assert decisions(halving, "late", [0.6, 0.7, 0.7, 0.1])[-1] == "CONTINUE"
    assert decisions(halving, "one long epoch", [0.1], shares=(1.0,)) == ["CONTINUE"]


def test_earlier_segments_count(halving: BudgetHalving) -> None:
    halving.remember("old", {0.25: 0.9, 0.5: 0.9}.items())
    assert decisions(halving, "new", [0.5, 0.5]) == ["CONTINUE", "STOP"]


def test_half_goes_on(halving: BudgetHalving) -> None:
    for number, accuracy in enumerate([0.1, 0.2, 0.3, 0.4, 0.5]):  # Each better than all before it.
        assert at_half(halving, f"better-{number}", accuracy) == "CONTINUE"
    assert at_half(halving, "third of six", 0.35) == "CONTINUE"
    assert at_half(halving, "fourth of seven", 0.34) == "CONTINUE"
    assert at_half(halving, "fifth of eight", 0.33) == "STOP"


def test_ties_go_on_whoever_came_first(halving: BudgetHalving) -> None:
    assert [at_half(halving, f"equal-{number}", 0.5) for number in range(9)] == ["CONTINUE"] * 9
    assert at_half(halving, "worse", 0.49) == "STOP"
    assert at_half(halving, "equal to the last that goes on", 0.5) == "CONTINUE"


@pytest.mark.parametrize(
    ("name", "better", "worse"), [("accuracy", 0.6, 0.4), ("pretext_loss", 0.4, 0.6), ("rankme", 6.0, 4.0)]
)
def test_better_is_what_the_measure_says(name: str, better: float, worse: float) -> None:
    halving = BudgetHalving(measure(name))
    assert at_half(halving, "middling", (better + worse) / 2) == "CONTINUE"
    assert at_half(halving, "better", better) == "CONTINUE"
    assert at_half(halving, "worse", worse) == "STOP"


def test_short_epochs_meet_a_rung_that_they_pass_between_two_reports(halving: BudgetHalving) -> None:
    """A run that prunes reports at 0.25, 0.45, 0.55, ...: at no rung, but behind each."""
    shares = (0.25, 0.45, 0.55, 0.62, 0.7, 0.8, 0.9)
    assert decisions(halving, "good", [0.5] * 7, shares=shares) == ["CONTINUE"] * 7
    assert decisions(halving, "bad", [0.1] * 7, shares=shares)[:3] == ["CONTINUE", "CONTINUE", "STOP"]
    late = decisions(halving, "overtaken", [0.6] * 5 + [0.6], shares=shares)
    assert late == ["CONTINUE"] * 6
    assert decisions(halving, "best at three quarters", [0.7] * 6, shares=shares) == ["CONTINUE"] * 6
    # A rung is asked for once: between two of them nobody stops, however weak.
    assert decisions(halving, "falls", [0.9, 0.9, 0.9, 0.1, 0.1], shares=shares) == ["CONTINUE"] * 5


def test_one_long_step_over_both_rungs_counts_at_both(halving: BudgetHalving) -> None:
    assert decisions(halving, "good", [0.5, 0.5], shares=(0.3, 0.8)) == ["CONTINUE"] * 2
    assert decisions(halving, "good at first", [0.6, 0.6], shares=(0.5, 0.6)) == ["CONTINUE"] * 2
    assert decisions(halving, "bad", [0.1], shares=(0.8,)) == ["STOP"]
    (again,) = decisions(halving, "good at first", [0.4], shares=(0.75,))
    assert again == "CONTINUE", "second of three: the one at 0.8 was ranked at three quarters, too"


def test_a_trial_that_was_not_measured_yet_goes_on(halving: BudgetHalving) -> None:
    decisions(halving, "good", [0.9, 0.9, 0.9])
    assert decisions(halving, "measured late", [math.nan, math.nan, 0.1]) == ["CONTINUE", "CONTINUE", "STOP"]
    assert decisions(halving, "not measured", [math.nan] * 4) == ["CONTINUE"] * 4


def test_a_row_without_a_score_or_a_share_stops_nothing(halving: BudgetHalving) -> None:
    at_half(halving, "good", 0.9)
    trial: Any = SimpleNamespace(trial_id="failed", config={"labels": {}})
    for row in ({"budget_share": 0.5}, {SCORE: 0.1}):
        assert halving.on_trial_result(None, trial, row) == "CONTINUE"


def test_a_trial_that_reports_an_epoch_again_is_no_rival_of_itself(halving: BudgetHalving) -> None:
    for _ in range(2):
        assert decisions(halving, "continued", [0.5, 0.5]) == ["CONTINUE", "CONTINUE"]
    assert at_half(halving, "half as good", 0.25) == "STOP"


def test_what_is_remembered_ranks_as_what_was_heard() -> None:
    """A new scheduler that is told of the past decides as the one that saw it."""
    scores = [0.5, 0.2, 0.7, 0.6, 0.7, 0.1, 0.65]
    for past, newcomer in itertools.product(range(1, len(scores)), (0.15, 0.55, 0.7)):
        whole, fresh = BudgetHalving(measure("accuracy")), BudgetHalving(measure("accuracy"))
        for number, score in enumerate(scores[:past]):
            decisions(whole, str(number), [score] * 3)
            fresh.remember(str(number), zip(EQUALLY_LONG[:3], [score] * 3, strict=True))
        expected = decisions(whole, "new", [newcomer] * 3)
        assert decisions(fresh, "new", [newcomer] * 3) == expected
