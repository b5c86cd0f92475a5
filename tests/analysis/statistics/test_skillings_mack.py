from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import compare, describe, draw_cd
from analysis.errors import ConstantScoresError, NoCriticalDifferenceError
from analysis.statistics.friedman import rank_domains
from analysis.statistics.skillings_mack import average_ranks_with_gaps, skillings_mack

GAP = np.nan

# Skillings and Mack 1981, Technometrics 23, Table 1: times of four ways to assemble a product, as shipped with R's
# package Skillings.Mack. The README of its descendant ZacWarham/Skillings.Mack prints 15.493049, p = 0.001440296302.
ASSEMBLY = pd.DataFrame(
    [
        [3.2, 4.1, 3.8, 4.2],
        [3.1, 3.9, 3.4, 4.0],
        [4.3, 3.5, 4.6, 4.8],
        [3.5, 3.6, 3.9, 4.0],
        [3.6, 4.2, 3.7, 3.9],
        [4.5, 4.7, 3.7, GAP],
        [GAP, 4.2, 3.4, GAP],
        [4.3, 4.6, 4.4, 4.9],
        [3.5, GAP, 3.7, 3.9],
    ],
    columns=list("ABCD"),
)

# Brady 1969 in Hollander and Wolfe 1999, the example of R's PMCMRplus::skillingsMackTest; its values as frozen in the
# tests of tlsfuzzer (tests/test_tlsfuzzer_utils_stats.py): 13.28095 with 2 degrees of freedom, p = 0.001306405.
METRONOME = pd.DataFrame(
    {"R": [3, 1, 5, 2, 0, 0, 0, 0], "A": [5, 3, 4, GAP, 2, 2, 3, 2], "B": [15, 18, 21, 6, 17, 10, 8, 13]}, dtype=float
)


@pytest.mark.parametrize(
    ("table", "statistic", "p_value", "degrees"),
    [(ASSEMBLY, 15.493049, 0.001440296302, 3), (METRONOME, 13.28095, 0.001306405, 2)],
    ids=["assembly", "metronome"],
)
def test_agrees_with_r(table: pd.DataFrame, statistic: float, p_value: float, degrees: int) -> None:
    found = skillings_mack(rank_domains(table, higher_is_better=False))
    assert found.statistic == pytest.approx(statistic, rel=1e-6)
    assert found.p_value == pytest.approx(p_value, rel=1e-6)
    assert found.degrees_of_freedom == degrees
    comparison = compare(table, higher_is_better=False, missing="skillings-mack")
    assert comparison.test == "skillings-mack"
    assert comparison.statistic == found.statistic
    assert comparison.p_value == found.p_value
    assert comparison.is_significant


@pytest.mark.parametrize("seed", range(30))
def test_equals_friedmans_on_complete_tables_with_and_without_ties(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 4, size=(9, 5)) if seed % 2 else generator.normal(size=(9, 5))
    found = skillings_mack(rank_domains(pd.DataFrame(values), higher_is_better=True))
    oracle = stats.friedmanchisquare(*values.T)
    assert found.statistic == pytest.approx(oracle.statistic, abs=1e-10)
    assert found.p_value == pytest.approx(oracle.pvalue, abs=1e-12)


@pytest.mark.parametrize(
    "ranks",
    [
        [[1, 2, 3], [1, GAP, 2], [3, 2, 1], [2, 1, GAP]],
        [[1.5, 1.5, 3], [1, GAP, 2], [3, 1.5, 1.5], [1.5, 1.5, GAP], [1, 2, 3]],
        [[1, 2, 3, 4], [GAP, 1, 2.5, 2.5], [1, GAP, GAP, 2]],
    ],
    ids=["gaps", "gaps and ties", "four methods"],
)
def test_its_covariance_is_exact(ranks: list[list[float]]) -> None:
    """A' S^- A has the mean rank(S) exactly if S is the covariance of A: here over all orders within each domain."""
    orders = []
    for row in np.array(ranks):
        present = ~np.isnan(row)
        orders.append([])
        for order in permutations(row[present]):
            orders[-1].append(np.full(len(row), GAP))
            orders[-1][-1][present] = order
    found = [skillings_mack(pd.DataFrame(list(rows))) for rows in product(*orders)]
    assert np.mean([one.statistic for one in found]) == pytest.approx(found[0].degrees_of_freedom, rel=1e-9)
    assert np.mean([one.weighted_rank_sums.to_numpy() for one in found], axis=0) == pytest.approx(0, abs=1e-9)


def test_null_rejection_rate_with_gaps() -> None:
    # No exact value is at hand: the chi-square approximation must not reject more than 5 % (3 standard errors aside),
    # nor, with N = 10 and k = 4, be useless.
    generator = np.random.default_rng(0)
    num_tables = 5000
    rejected = 0
    for _ in range(num_tables):
        values = generator.normal(size=(10, 4))
        values[generator.permutation(10)[:5], generator.integers(0, 4, size=5)] = GAP
        rejected += skillings_mack(rank_domains(pd.DataFrame(values), higher_is_better=True)).p_value < 0.05
    assert 0.03 <= rejected / num_tables <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / num_tables)


def test_average_ranks_are_on_one_scale() -> None:
    ranks = pd.DataFrame([[1, 2, 3], [GAP, 1, 2], [1, GAP, 2]], columns=list("abc"))
    # The worst of two counts like the worst of three.
    assert average_ranks_with_gaps(ranks).to_dict() == {"a": 1.0, "b": 1.5, "c": 3.0}
    complete = pd.DataFrame([[1, 2, 3], [3, 1.5, 1.5]], columns=list("abc"))
    pd.testing.assert_series_equal(average_ranks_with_gaps(complete), complete.mean())


def test_claims_no_pair_and_draws_no_critical_difference() -> None:
    comparison = compare(ASSEMBLY, higher_is_better=False, missing="skillings-mack")
    assert comparison.critical_difference is None
    assert comparison.friedman_statistic is comparison.friedman_p_value is None
    assert comparison.iman_davenport_statistic is comparison.iman_davenport_p_value is None
    assert comparison.nemenyi_p_values.empty
    assert comparison.cliques == ()
    for claim in (lambda: draw_cd(comparison), lambda: comparison.differs("A", "D")):
        with pytest.raises(NoCriticalDifferenceError, match=r"none is valid for all pairs .* `wilcoxon_holm`"):
            claim()
    text = describe(comparison)
    assert "each method on 7 to 9 of them" in text
    assert "Skillings-Mack: chi-square 15.49, p = 0.0014: the methods differ" in text
    assert "none is called different here" in text
    assert "Nemenyi" not in text
    assert comparison.to_dict()["critical_difference"] is None


def test_ties_everywhere_are_refused() -> None:
    table = pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, GAP], "c": [1, GAP, 3]}, dtype=float)
    with pytest.raises(ConstantScoresError, match="all methods tie on each of the 3 domains"):
        compare(table, higher_is_better=True, missing="skillings-mack")


def test_groups_that_only_ties_link_have_fewer_degrees_of_freedom() -> None:
    # Two sign tests of three wins out of three, (3 - 0)^2 / 3 each, and a domain that says nothing.
    nan = np.nan
    ranks = pd.DataFrame([[1, 2, nan, nan]] * 3 + [[nan, nan, 1, 2]] * 3 + [[2.5] * 4], columns=list("abcd"))
    found = skillings_mack(ranks)
    assert found.statistic == pytest.approx(6)
    assert found.degrees_of_freedom == 2
    assert found.p_value == pytest.approx(stats.chi2.sf(6, 2))
