from __future__ import annotations

import dataclasses
import math

from sweeps.results.verdict import Findings, sentences

WIN = Findings(
    method="BDW",
    baseline="plain",
    label="accuracy",
    is_share=True,
    decimals=1,
    mean=63.2,
    baseline_mean=61.0,
    gain=2.2,
    gain_low=0.8,
    gain_high=3.6,
    num_domains=10,
    num_better=9,
    num_seeds=3,
    seconds_ratio=2.4,
    images_ratio=3.0,
    share_reached=0.9,
    baseline_ratio=1.2,
    test="Friedman",
    p_value=0.0004,
    is_significant=True,
    differs=True,
    num_methods=6,
    oracle="oracle",
    oracle_gain=5.5,
    oracle_low=4.0,
)


def told(**changes: object) -> tuple[str, ...]:
    return sentences(dataclasses.replace(WIN, **changes))  # type: ignore[arg-type]


def test_a_clear_win() -> None:
    assert told() == (
        "BDW is better than plain: accuracy 63.2 % against 61.0 %, +2.2 points on average (95 % interval +0.8 to "
        "+3.6), better on 9 of 10 domains.",
        "It reached plain's final validation accuracy 2.4 times sooner in seconds and 3.0 times sooner in images "
        "(medians over domains; 90 % of its runs reached it; plain itself had it 1.2 times sooner than its end). It "
        "gets 40 % of what oracle gains (+5.5 points).",
        "Friedman's test over all 6 methods and 10 domains shows differences (p < 0.001), and Nemenyi's test tells BDW "
        "and plain apart.",
    )


def test_no_difference_claims_none() -> None:
    first, second, third = told(
        gain=0.3, gain_low=-0.6, gain_high=1.2, num_better=6, seconds_ratio=0.8, images_ratio=1.0, p_value=0.31,
        is_significant=False, differs=False, baseline_ratio=1.0,
    )  # fmt: skip
    assert first.startswith("No difference between BDW and plain was shown: ")
    assert "1.2 times later in seconds and no sooner in images" in second
    assert "itself" not in second
    assert third.endswith("shows no difference between any of them (p = 0.31).")


def test_an_interval_that_ends_at_zero_is_no_win() -> None:
    assert told(gain_low=0.0)[0].startswith("No difference")


def test_a_loss_is_called_one() -> None:
    first, second, third = told(
        gain=-2.2, gain_low=-3.0, gain_high=-1.4, mean=58.8, num_better=0, seconds_ratio=0.0, images_ratio=0.0,
        share_reached=0.1, differs=False,
    )  # fmt: skip
    assert first.startswith("BDW is worse than plain: accuracy 58.8 % against 61.0 %, −2.2 points on average")
    assert "in only 10 % of its runs, so that it saved no time. Of what oracle gains (+5.5 points) it gets no" in second
    assert third.endswith("but Nemenyi's test of all pairs does not tell BDW and plain apart.")


def test_without_an_oracle_nothing_is_said_of_one() -> None:
    assert "gets" not in " ".join(told(oracle=None))
    assert len(told(oracle=None, seconds_ratio=None)) == 2


def test_an_oracle_that_is_not_sure_has_no_share() -> None:
    assert "cannot be told: that gain itself (+5.5 points) is not sure" in told(oracle_low=-0.1)[1]
    assert dataclasses.replace(WIN, oracle_low=None).oracle_share is None
    assert WIN.oracle_share == 0.4


def test_one_domain_only() -> None:
    found = told(
        gain_low=None, gain_high=None, num_domains=1, num_better=1, test=None, p_value=math.nan, oracle_low=None
    )
    assert len(found) == 2
    assert found[0] == (
        "On the only domain compared, BDW reached accuracy 63.2 % against 61.0 % of plain (+2.2 points). One domain "
        "says nothing about others."
    )


def test_a_method_that_was_chosen_afterwards_is_said_to_be() -> None:
    assert told(num_candidates=4)[0].endswith("the best of 4 methods by these very scores, which flatters it somewhat.")


def test_scores_that_are_no_shares_have_no_points() -> None:
    assert "loss 63.20 against 61.00, +2.20 on average" in told(label="loss", is_share=False, decimals=2)[0]


def test_two_methods_and_reached_at_once() -> None:
    found = told(num_methods=2, test="Wilcoxon", p_value=0.03, seconds_ratio=math.inf)
    assert found[2] == "Wilcoxon's test over the domains shows a difference (p = 0.03)."
    assert "at once in seconds" in found[1]
