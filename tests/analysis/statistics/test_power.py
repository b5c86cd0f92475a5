import math
from collections import Counter
from itertools import combinations_with_replacement, permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import compare, detectable_difference, domains_needed, power
from analysis.errors import ConstantScoresError, OptionError
from analysis.statistics.power import _signed_rank_p_values


def within_monte_carlo_error(share: float, expected: float, num_simulations: int) -> bool:
    # Five standard errors: one in a million tests fails by chance.
    return abs(share - expected) <= 5 * math.sqrt(expected * (1 - expected) / num_simulations) + 1e-12


def exactly(orders: list[tuple[int, ...]], num_domains: int) -> tuple[float, float]:
    """`compare` on all tables whose rows are these equally likely orders: shown (first against second), rejected."""
    shown = rejected = total = 0
    for rows in combinations_with_replacement(orders, num_domains):
        repeats = math.factorial(num_domains) / math.prod(map(math.factorial, Counter(rows).values()))
        total += repeats
        try:
            comparison = compare(pd.DataFrame(list(rows), columns=list("abc")), higher_is_better=False)
        except ConstantScoresError:
            continue
        ranks = comparison.average_ranks
        rejected += repeats * comparison.is_significant
        shown += repeats * (comparison.differs("a", "b") and ranks["a"] < ranks["b"])
    return shown / total, rejected / total


def test_equal_methods_by_enumeration_through_compare() -> None:
    shown, rejected = exactly(list(permutations([1, 2, 3])), num_domains=4)
    assert 0 < shown < rejected
    found = power(0.0, num_domains=4, num_methods=3, num_simulations=40_000)
    assert within_monte_carlo_error(found.rejected, rejected, found.num_simulations)
    assert within_monte_carlo_error(found.shown, shown, found.num_simulations)


@pytest.mark.parametrize("num_domains", [4, 5])
def test_a_method_that_always_wins_by_enumeration_through_compare(num_domains: int) -> None:
    shown, rejected = exactly([(1, 2, 3), (1, 3, 2)], num_domains)
    found = power(math.inf, num_domains=num_domains, num_methods=3)
    assert within_monte_carlo_error(found.rejected, rejected, found.num_simulations)
    assert within_monte_carlo_error(found.shown, shown, found.num_simulations)
    assert found.win_probability == 1


def test_a_distance_alone_is_not_counted() -> None:
    # With few domains and many methods ranks are often a critical difference apart while Friedman's test sees nothing.
    num_tables, num_domains, num_methods = 2000, 5, 15
    limit = stats.studentized_range.ppf(0.95, num_methods, np.inf) / math.sqrt(2)
    limit *= math.sqrt(num_methods * (num_methods + 1) / (6 * num_domains))
    generator = np.random.default_rng(1)
    shown, apart = np.zeros(num_tables), np.zeros(num_tables)
    for i in range(num_tables):
        scores = generator.normal(size=(num_domains, num_methods))
        scores[:, 0] += 100
        ranks = stats.rankdata(-scores, axis=1).mean(axis=0)
        apart[i] = (ranks[1:] - ranks[0] >= limit).mean()
        shown[i] = apart[i] * (stats.friedmanchisquare(*scores.T).pvalue < 0.05)
    found = power(math.inf, num_domains=num_domains, num_methods=num_methods)
    error = 5 * math.hypot(found.shown_standard_error, shown.std() / math.sqrt(num_tables))
    assert abs(found.shown - shown.mean()) < error
    assert abs(found.shown - apart.mean()) > error


@pytest.mark.parametrize("difference", [0.0, 0.7, 1.5, 3.0])
def test_two_methods_on_six_domains_need_six_wins(difference: float) -> None:
    # Of Wilcoxon's 2^6 patterns of signs only the two extreme ones are below 0.05 together (2/64).
    found = power(difference, num_domains=6, num_methods=2)
    win = stats.norm.cdf(difference / math.sqrt(2))
    assert within_monte_carlo_error(found.shown, win**6, found.num_simulations)
    assert within_monte_carlo_error(found.rejected, win**6 + (1 - win) ** 6, found.num_simulations)
    assert found.win_probability == pytest.approx(win)


def test_two_methods_on_five_domains_are_never_told_apart() -> None:
    assert power(math.inf, num_domains=5, num_methods=2).shown == 0
    found = detectable_difference(num_domains=5, num_methods=2)
    assert found.at_difference is None
    assert found.in_words() == (
        "With 5 domains and 2 methods even a method that wins on every domain is told apart from a given other one "
        "with a probability of only 0 % (alpha = 0.05)."
    )


@pytest.mark.parametrize("num_domains", [2, 5, 12, 25, 26, 60])
def test_signed_rank_p_values_are_scipys(num_domains: int) -> None:
    ranks = np.arange(1, num_domains + 1)
    ours = _signed_rank_p_values(num_domains)
    generator = np.random.default_rng(num_domains)
    for _ in range(20):
        signs = generator.choice([-1, 1], size=num_domains)
        method: Any = "exact" if num_domains <= 25 else "approx"
        oracle = stats.wilcoxon(ranks * signs, method=method, correction=False)
        assert ours[int(oracle.statistic)] == pytest.approx(oracle.pvalue, abs=1e-12)


def test_friedmans_rate_of_false_alarms() -> None:
    generator = np.random.default_rng(1)
    tables = generator.normal(size=(3000, 4, 10))
    share = np.mean([stats.friedmanchisquare(*table).pvalue < 0.05 for table in tables])
    found = power(0.0, num_domains=10, num_methods=4)
    assert abs(found.rejected - share) <= 5 * math.sqrt(share * (1 - share) * (1 / 3000 + 1 / found.num_simulations))
    assert found.shown <= found.rejected / 2


@pytest.mark.parametrize(("num_domains", "num_methods"), [(10, 4), (20, 6)])
def test_planted_differences_are_found_with_the_stated_power(num_domains: int, num_methods: int) -> None:
    stated = detectable_difference(num_domains=num_domains, num_methods=num_methods, wanted=0.8).at_difference
    assert stated is not None
    generator = np.random.default_rng(3)
    methods = [f"m{i}" for i in range(num_methods)]
    found = 0
    for _ in range(250):
        # Domains of unlike difficulty and spread: neither is anything to ranks.
        scores = generator.normal(size=(num_domains, num_methods))
        scores[:, 0] += stated.difference
        scores = 5 * generator.normal(size=(num_domains, 1)) + generator.uniform(1, 9, size=(num_domains, 1)) * scores
        comparison = compare(pd.DataFrame(scores, columns=methods), higher_is_better=True)
        found += comparison.differs("m0", "m1") and comparison.average_ranks["m0"] < comparison.average_ranks["m1"]
    assert within_monte_carlo_error(found / 250, 0.8, 250)


def test_the_smallest_difference_has_the_power_and_a_smaller_one_has_not() -> None:
    design: dict[str, Any] = {"num_domains": 15, "num_methods": 4}
    found = detectable_difference(**design, wanted=0.7).at_difference
    assert found is not None
    assert 0.7 <= found.shown < 0.72
    assert power(found.difference, **design) == found
    assert power(found.difference - 0.011, **design).shown < 0.7
    larger = detectable_difference(**design, wanted=0.9).at_difference
    assert larger is not None
    assert larger.difference > found.difference


def test_the_number_of_domains_has_the_power_and_one_less_has_not() -> None:
    found = domains_needed(1.0, num_methods=4).at_number
    assert found is not None
    assert found.shown >= 0.8
    assert found == power(1.0, num_domains=found.num_domains, num_methods=4)
    assert power(1.0, num_domains=found.num_domains - 1, num_methods=4).shown < 0.8
    assert domains_needed(1.0, num_methods=4).in_words() == (
        f"With 4 methods it takes {found.num_domains} domains to tell a method that wins on 76 % of domains against "
        "another apart from it with a probability of 80 % (alpha = 0.05)."
    )
    none = domains_needed(0.0, num_methods=3, num_simulations=50)
    assert none.at_number is None
    assert "takes more than 1000 domains" in none.in_words()


def test_says_what_ten_domains_and_five_methods_can_show() -> None:
    found = detectable_difference(num_domains=10, num_methods=5)
    assert found.at_difference is not None
    assert found.in_words().startswith(
        f"With 10 domains and 5 methods you can detect only a method that wins on "
        f"{100 * found.at_difference.win_probability:.0f} % of domains against another: the two are told apart with a "
        "probability of 80 % (alpha = 0.05; ahead by "
    )


def test_a_share_that_is_nearly_all_is_not_called_all() -> None:
    assert "a probability of 99.7 %" in domains_needed(2.0, num_methods=2, wanted=0.997).in_words()


def test_standard_errors_hold_over_seeds() -> None:
    runs = [power(1.0, num_domains=10, num_methods=4, num_simulations=200, seed=seed) for seed in range(200)]
    for share, error in (("shown", "shown_standard_error"), ("rejected", "rejected_standard_error")):
        spread = np.std([getattr(run, share) for run in runs], ddof=1)
        assert np.mean([getattr(run, error) for run in runs]) == pytest.approx(spread, rel=0.25)


def test_large_designs_get_fewer_simulations() -> None:
    assert power(0.5, num_domains=200, num_methods=50).num_simulations == 2**21 // 10_000
    assert power(0.5, num_domains=10, num_methods=5).num_simulations == 10_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"difference": -1.0}, "difference: -1.0; allowed: a number of at least 0"),
        ({"difference": float("nan")}, "difference: nan"),
        ({"num_domains": 1}, "num_domains: 1; allowed: a whole number of at least 2"),
        ({"num_methods": 2.5}, "num_methods: 2.5"),
        ({"alpha": 0}, "alpha: 0; allowed: between 0 and 1"),
        ({"num_simulations": 0}, "num_simulations: 0"),
        ({"seed": True}, "seed: True"),
    ],
)
def test_bad_options_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        power(**{"difference": 1.0, "num_domains": 10, "num_methods": 4, **change})


def test_bad_power_is_refused() -> None:
    with pytest.raises(OptionError, match="wanted: 80; allowed: between 0 and 1"):
        detectable_difference(num_domains=10, num_methods=4, wanted=80)
    with pytest.raises(OptionError, match="wanted: 0"):
        domains_needed(1.0, num_methods=4, wanted=0)
