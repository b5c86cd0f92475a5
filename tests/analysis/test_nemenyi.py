from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from analysis.nemenyi import cliques, critical_difference, pairwise_p_values

# Demsar 2006, Table 5 (a): q at 0.05 and 0.10 for 2 to 10 methods.
Q_05 = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
Q_10 = [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]


@pytest.mark.parametrize(("alpha", "published"), [(0.05, Q_05), (0.10, Q_10)])
def test_critical_values_are_demsars(alpha: float, published: list[float]) -> None:
    # With N = k(k+1)/6 domains, CD is q itself.
    ours = [critical_difference(k, 1, alpha) / np.sqrt(k * (k + 1) / 6) for k in range(2, 11)]
    np.testing.assert_allclose(ours, published, atol=1e-3)


def brute_force(ranks: pd.Series, limit: float) -> set[frozenset[str]]:
    """All subsets of two or more methods whose pairs are all closer than `limit`, and which no larger one contains."""
    close = [
        frozenset(group)
        for size in range(2, len(ranks) + 1)
        for group in combinations(ranks.index, size)
        if all(abs(ranks[a] - ranks[b]) < limit for a, b in combinations(group, 2))
    ]
    return {group for group in close if not any(group < other for other in close)}


@pytest.mark.parametrize("seed", range(60))
def test_cliques_are_those_of_a_search_over_all_subsets(seed: int) -> None:
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
