from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.libqsturng import qsturng

from analysis.statistics.nemenyi import cliques, critical_difference, pairwise_p_values

# Demsar 2006, Table 5 (a): q at 0.05 and 0.10 for 2 to 10 methods.
Q_05 = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
Q_10 = [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]


@pytest.mark.parametrize(("alpha", "published"), [(0.05, Q_05), (0.10, Q_10)])
def test_critical_values_are_demsars(alpha: float, published: list[float]) -> None:
    # With N = k(k+1)/6 domains, CD is q itself.
    ours = [critical_difference(k, 1, alpha) / np.sqrt(k * (k + 1) / 6) for k in range(2, 11)]
    np.testing.assert_allclose(ours, published, atol=1e-3)


# The same for 2 to 50 methods at 0.05, as it circulates in descendants of Orange's `compute_CD`.
Q_05_TO_50 = [
    *(1.960, 2.344, 2.569, 2.728, 2.850, 2.948, 3.031, 3.102, 3.164, 3.219, 3.268, 3.313, 3.354, 3.391, 3.426, 3.458),
    *(3.489, 3.517, 3.544, 3.569, 3.593, 3.616, 3.637, 3.658, 3.678, 3.696, 3.714, 3.732, 3.749, 3.765, 3.780, 3.795),
    *(3.810, 3.824, 3.837, 3.850, 3.863, 3.876, 3.888, 3.899, 3.911, 3.922, 3.933, 3.943, 3.954, 3.964, 3.973, 3.983),
    3.992,
]

# R's qtukey(0.9, k, Inf) / sqrt(2) for 2 to 20 methods, as Orange 3's `compute_CD` lists it.
Q_10_TO_20 = [
    *(1.644854, 2.052293, 2.291341, 2.459516, 2.588521, 2.692732, 2.779884, 2.854606, 2.919889, 2.977768, 3.029694),
    *(3.076733, 3.119693, 3.159199, 3.195743, 3.229723, 3.261461, 3.291224, 3.319233),
]


def quantile(k: int, alpha: float) -> float:
    return critical_difference(k, 1, alpha) / np.sqrt(k * (k + 1) / 6)


def test_critical_values_up_to_fifty_methods() -> None:
    np.testing.assert_allclose([quantile(k, 0.05) for k in range(2, 51)], Q_05_TO_50, atol=1e-3)
    np.testing.assert_allclose([quantile(k, 0.10) for k in range(2, 21)], Q_10_TO_20, atol=2e-6)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.10])
def test_critical_values_agree_with_gleasons(alpha: float) -> None:
    # statsmodels' approximation of the studentised range after Gleason 1999 shares nothing with scipy's integral.
    gleason = [float(qsturng(1 - alpha, k, np.inf)) / np.sqrt(2) for k in range(2, 51)]
    np.testing.assert_allclose([quantile(k, alpha) for k in range(2, 51)], gleason, atol=1e-3)


@pytest.mark.parametrize("k", [2, 3, 5, 10, 30, 50])
def test_p_values_are_tails_of_the_range_of_normal_variables(k: int) -> None:
    # P(range <= q) = k times the integral of phi(z) (Phi(z) - Phi(z - q))^(k-1), here by Gauss and Legendre.
    nodes, weights = np.polynomial.legendre.leggauss(400)
    z = 10 * nodes
    average_ranks = pd.Series(np.linspace(1, k, k))
    table = pairwise_p_values(average_ranks, 7)
    for a, b in combinations(range(0, k, max(1, k // 5)), 2):
        q = abs(average_ranks[a] - average_ranks[b]) / np.sqrt(k * (k + 1) / 42) * np.sqrt(2)
        inner = stats.norm.pdf(z) * (stats.norm.cdf(z) - stats.norm.cdf(z - q)) ** (k - 1)
        assert table.at[a, b] == pytest.approx(1 - k * 10 * float(weights @ inner), abs=1e-10)


def brute_force(ranks: pd.Series, limit: float) -> set[frozenset[str]]:
    """All subsets of two or more methods whose pairs are all closer than `limit`, and which no larger one contains."""
    close = [
        frozenset(group)
        for size in range(2, len(ranks) + 1)
        for group in combinations(ranks.index, size)
        if all(abs(ranks[a] - ranks[b]) < limit for a, b in combinations(group, 2))
    ]
    return {group for group in close if not any(group < other for other in close)}


def test_cliques_are_those_of_a_search_over_all_subsets() -> None:
    for seed in range(1000):
        generator = np.random.default_rng(seed)
        k = int(generator.integers(2, 9))
        # Rounding makes ties.
        values = generator.uniform(1, k, size=k).round(int(generator.integers(0, 3))).tolist()
        ranks = pd.Series(dict(zip("hgfedcba", values, strict=False)))
        limit = float(generator.uniform(0.1, k))
        found = cliques(ranks, limit)
        assert {frozenset(clique) for clique in found} == brute_force(ranks, limit)
        assert len(found) == len(set(found))
        for clique in found:
            assert list(clique) == sorted(clique, key=lambda method: (ranks[method], method))
        assert [ranks[clique[0]] for clique in found] == sorted(ranks[clique[0]] for clique in found)


def test_methods_exactly_one_critical_difference_apart_differ() -> None:
    ranks = pd.Series({"a": 1.0, "b": 2.0, "c": 3.0})
    assert cliques(ranks, 1.0) == ()
    assert cliques(ranks, 1.0000001) == (("a", "b"), ("b", "c"))


def test_p_values_form_a_symmetric_table_of_probabilities() -> None:
    ranks = pd.Series({"a": 1.0, "b": 2.5, "c": 2.5, "d": 4.0})
    table = pairwise_p_values(ranks, 12)
    assert (table.to_numpy() == table.to_numpy().T).all()
    assert ((table >= 0) & (table <= 1)).all(axis=None)
    assert (np.diag(table) == 1).all()
    assert table.at["b", "c"] == 1
    assert table.at["a", "d"] < 1e-6 < table.at["a", "b"]
