from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from analysis import compare, compare_ranks
from analysis.statistics.friedman import (
    friedman_p_value,
    friedman_statistic,
    iman_davenport_p_value,
    iman_davenport_statistic,
    rank_domains,
)


def test_iman_and_davenports_f_in_demsars_example() -> None:
    # Demsar 2006, section 3.2.2: F = 13 * 9.28 / (14 * 3 - 9.28) = 3.69, critical value of F(3, 39) at 0.05: 2.85.
    comparison = compare_ranks({"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}, num_domains=14)
    assert comparison.iman_davenport_statistic == pytest.approx(3.69, abs=0.005)
    assert comparison.iman_davenport_p_value is not None
    assert comparison.iman_davenport_p_value < 0.05
    assert iman_davenport_p_value(2.85, comparison.average_ranks, 14) == pytest.approx(0.05, abs=0.0005)


def test_iman_and_davenports_f_in_r() -> None:
    # R's scmamp 0.2 on the 30 data sets of Garcia and Herrera 2008 (its data.gh.2008), as its manual at rdrr.io prints:
    # imanDavenportTest: 14.309 with 4 and 116 degrees of freedom, p = 1.593e-09; the ranks from nemenyiTest's matrix of
    # differences: C4.5 less the others -1.15, -0.1, -2.233333, -1.0166667.
    differences = np.array([0, 1.15, 0.1, 67 / 30, 61 / 60])
    ranks = differences + (15 - differences.sum()) / 5
    methods = ["C4.5", "k-NN(k=1)", "NaiveBayes", "Kernel", "CN2"]
    comparison = compare_ranks(dict(zip(methods, ranks, strict=True)), num_domains=30)
    assert comparison.iman_davenport_statistic == pytest.approx(14.309, abs=0.0005)
    assert comparison.iman_davenport_p_value == pytest.approx(1.593e-9, rel=5e-4)


def test_two_domains_in_r() -> None:
    # Ranks and output of scmamp as posted to Cross Validated (techutils.in, 2018/03/07): Friedman 11.733 with 8 degrees
    # of freedom, p = 0.1635; Iman-Davenport 2.75 with 8 and 8, p = 0.08697.
    table = pd.DataFrame([[1, 8, 6, 4, 7, 2, 5, 3, 9], [1, 6, 3, 9, 7, 2, 8, 4, 5]])
    comparison = compare(table, higher_is_better=False)
    assert comparison.friedman_statistic == pytest.approx(11.733, abs=0.0005)
    assert comparison.friedman_p_value == pytest.approx(0.1635, abs=0.00005)
    assert comparison.iman_davenport_statistic == pytest.approx(2.75, abs=1e-9)
    assert comparison.iman_davenport_p_value == pytest.approx(0.08697, abs=0.000005)


@pytest.mark.parametrize(
    ("row", "arrangements"), [([1, 2, 3], 6), ([1, 1, 3], 3), ([5, 1], 2)], ids=["no ties", "ties", "two methods"]
)
def test_perfect_agreement_is_infinite_with_its_exact_p_value(row: list[int], arrangements: int) -> None:
    comparison = compare(pd.DataFrame([row] * 4), higher_is_better=True)
    assert comparison.iman_davenport_statistic == np.inf
    # The other three domains repeat the order of the first.
    assert comparison.iman_davenport_p_value == pytest.approx(arrangements**-3)
    assert comparison.to_dict()["iman_davenport_statistic"] == "infinity"


def null_distribution(num_domains: int, num_methods: int) -> dict[float, float]:
    """Exact null distribution of Friedman's chi-square without ties, by adding one domain's orders after the other."""
    sums = {(0,) * num_methods: 1.0}
    orders = list(permutations(range(1, num_methods + 1)))
    for _ in range(num_domains):
        grown: dict[tuple[int, ...], float] = {}
        for state, chance in sums.items():
            for order in orders:
                # All methods are alike: states that are permutations of each other are one.
                key = tuple(sorted(s + r for s, r in zip(state, order, strict=True)))
                grown[key] = grown.get(key, 0.0) + chance / len(orders)
        sums = grown
    n, k = num_domains, num_methods
    found: dict[float, float] = {}
    for state, chance in sums.items():
        chi_square = 12 / (n * k * (k + 1)) * sum(s * s for s in state) - 3 * n * (k + 1)
        found[round(chi_square, 9)] = found.get(round(chi_square, 9), 0.0) + chance
    return found


def test_null_rejection_rates() -> None:
    """N = 10, k = 4, alpha = 0.05: what the approximations really reject, exactly and by simulation."""
    n, k, alpha = 10, 4, 0.05
    ranks = pd.Series(range(k))
    exact = {"chi-square": 0.0, "F": 0.0}
    for chi_square, chance in null_distribution(n, k).items():
        f = iman_davenport_statistic(chi_square, n, k)
        exact["chi-square"] += chance * (friedman_p_value(chi_square, k) < alpha)
        exact["F"] += chance * (iman_davenport_p_value(f, ranks, n) < alpha)
    # The chi-square is conservative here; F is nearer to the level, on its other side.
    assert exact["chi-square"] == pytest.approx(0.0447, abs=5e-5)
    assert exact["F"] == pytest.approx(0.0534, abs=5e-5)
    generator = np.random.default_rng(0)
    num_tables = 8000
    rejected = {"chi-square": 0, "F": 0}
    for _ in range(num_tables):
        table = rank_domains(pd.DataFrame(generator.normal(size=(n, k))), higher_is_better=True)
        chi_square = friedman_statistic(table)
        f = iman_davenport_statistic(chi_square, n, k)
        rejected["chi-square"] += friedman_p_value(chi_square, k) < alpha
        rejected["F"] += iman_davenport_p_value(f, ranks, n) < alpha
    for name, rate in exact.items():
        error = np.sqrt(rate * (1 - rate) / num_tables)
        assert rejected[name] / num_tables == pytest.approx(rate, abs=3 * error)
