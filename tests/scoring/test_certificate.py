"""What follows from the scores of a certificate, against enumeration and against made-up scores with a known answer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from bdw.scoring.certificate import LEAST_SEEDS, Advice, Arm, Certificate, interval


def certificate(scores: Mapping[Arm, tuple[float, ...]], *, higher_is_better: bool = True) -> Certificate:
    return Certificate(
        measure="accuracy" if higher_is_better else "pretext_loss",
        higher_is_better=higher_is_better,
        images=100,
        kept=20,
        budget_images=1000,
        seeds=tuple(range(len(scores[Arm.KEPT]))),
        scores=scores,
        seconds=dict.fromkeys(Arm, 1.5),
    )


def around(**middles: float) -> dict[Arm, tuple[float, ...]]:
    """Three scores of every arm, 0.01 apart, about the middle that is given, or 0.5."""
    return {arm: tuple(middles.get(arm.value, 0.5) + step for step in (-0.01, 0.0, 0.01)) for arm in Arm}


def test_with_three_seeds_an_interval_reaches_from_the_worst_to_the_best() -> None:
    one, other = np.array([0.3, 0.7, 0.4]), np.array([0.1, 0.2, 0.15])
    assert interval(one, other) == pytest.approx((0.3 - 0.2, 0.7 - 0.1), abs=1e-12)


def test_two_of_twenty_orders_of_six_scores_leave_out_nothing() -> None:
    """That is what the least number of seeds means; with two seeds it would be two of six."""
    scores = np.arange(2 * LEAST_SEEDS, dtype=np.float64)
    found = []
    for rows in itertools.combinations(range(len(scores)), LEAST_SEEDS):
        low, high = interval(scores[list(rows)], np.delete(scores, rows))
        found.append(not low <= 0 <= high)
    assert (sum(found), len(found)) == (2, 20)


def test_an_interval_holds_the_middle_of_all_resamples() -> None:
    """Against all 5^5 resamples of either arm; Hesterberg's quantiles, 0.5 % instead of 2.5 % for five and five."""
    one, other = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), np.array([3.0, 5.0, 6.0, 7.0, 9.0])
    means = [np.array(list(itertools.product(scores, repeat=5))).mean(axis=1) for scores in (one, other)]
    differences = np.sort((means[0][:, None] - means[1]).ravel())
    outside = stats.norm.cdf(-np.sqrt(5 / 4) * stats.t.ppf(0.975, 8))
    assert outside == pytest.approx(0.005, abs=2e-4)
    low, high = interval(one, other)
    below, above = (np.searchsorted(differences, end) / len(differences) for end in (low, high))
    assert below == pytest.approx(outside, abs=0.003)
    assert above == pytest.approx(1 - outside, abs=0.003)


def test_equal_scores_are_an_interval_of_no_width() -> None:
    assert interval(np.full(4, 0.5), np.full(4, 0.25)) == (0.25, 0.25)


@pytest.mark.long
def test_intervals_hold_what_they_should() -> None:
    """Of 400 pairs of five normal scores with the same mean: the level of 95 % but for chance, 3 standard errors."""
    generator = np.random.default_rng(0)
    holds = [
        low <= 0 <= high
        for low, high in (interval(generator.normal(size=5), generator.normal(size=5)) for _ in range(400))
    ]
    assert np.mean(holds) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 400))


@pytest.mark.parametrize(
    ("middles", "advice"),
    [
        ({"kept": 0.6}, Advice.PRUNE),
        # Neighbours as good as the kept set change the words, not the advice.
        ({"kept": 0.6, "nearest": 0.7}, Advice.PRUNE),
        # No better than random: the choice says nothing, whatever plain training is worth.
        ({"kept": 0.6, "random": 0.6}, Advice.LEAVE_IT),
        ({"kept": 0.6, "plain": 0.6}, Advice.RANK_ONLY),
        ({"kept": 0.6, "plain": 0.7, "weighted": 0.7}, Advice.RANK_ONLY),
        ({"kept": 0.6, "weighted": 0.7}, Advice.WEIGH),
        ({"kept": 0.6, "plain": 0.7, "weighted": 0.8}, Advice.WEIGH),
        ({"weighted": 0.6}, Advice.WEIGH),
        # Weights as good as pruning: the kept set is the smaller one.
        ({"kept": 0.6, "weighted": 0.6}, Advice.PRUNE),
        ({}, Advice.LEAVE_IT),
        ({"kept": 0.4, "weighted": 0.4}, Advice.LEAVE_IT),
        # Ranges that meet are no difference.
        ({"kept": 0.51}, Advice.LEAVE_IT),
    ],
)
def test_the_advice_follows_from_the_differences(middles: dict[str, float], advice: Advice) -> None:
    assert certificate(around(**middles)).advice is advice
    losses = {arm: tuple(-score for score in scores) for arm, scores in around(**middles).items()}
    assert certificate(losses, higher_is_better=False).advice is advice


def test_differences_have_the_sign_of_better() -> None:
    found = certificate(around(kept=0.6)).difference(Arm.KEPT, Arm.PLAIN)
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.08, 0.12), abs=1e-12)
    assert (found.is_better, found.is_worse) == (True, False)
    loss = certificate(around(kept=0.6), higher_is_better=False).difference(Arm.KEPT, Arm.PLAIN)
    assert (loss.mean, loss.low, loss.high) == pytest.approx((-0.1, -0.12, -0.08), abs=1e-12)
    assert (loss.is_better, loss.is_worse) == (False, True)


def test_it_comes_back_from_its_file() -> None:
    found = certificate(around(kept=0.6))
    values = json.loads(found.json())
    assert values["advice"] == "prune"
    assert values["scores"]["kept"] == [0.59, 0.6, 0.61]
    assert values["differences"][0]["rival"] == "random"
    assert Certificate.of_values(values) == found


def test_a_file_that_lacks_scores_is_none() -> None:
    values = json.loads(certificate(around()).json())
    values["scores"]["plain"] = [0.5]
    with pytest.raises(ValueError, match="a score for every seed of every arm"):
        Certificate.of_values(values)
    del values["scores"]
    with pytest.raises(KeyError):
        Certificate.of_values(values)
