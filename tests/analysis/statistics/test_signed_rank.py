from itertools import product

import numpy as np
import pytest
from scipy import stats

from analysis.errors import NotFiniteError, OptionError
from analysis.statistics.signed_rank import EXACT_UP_TO, signed_rank

# Demsar 2006, Table 2 and section 3.1.3: AUC of C4.5 and of C4.5+m on 14 data sets.
C45 = [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957]
C45_M = [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978]


def test_demsars_worked_example() -> None:
    found = signed_rank(C45_M, C45)
    # He has R+ = 93 and R- = 12 with the ranks of the two zeros (1.5 each) halved between them: 1.5 to each.
    assert found.positive_rank_sum + 1.5 == 93
    assert found.negative_rank_sum + 1.5 == 12
    assert found.num_zeros == 2
    assert found.is_exact
    # T = 12 is below his critical value 21 at 0.05.
    assert found.p_value < 0.05


def by_enumeration(differences: np.ndarray) -> float:
    """Pratt's rule by all sign patterns: the share of them at least as far from the middle as what was seen."""
    ranks = stats.rankdata(np.abs(differences))
    used = ranks[differences != 0]
    seen = abs(ranks[differences > 0].sum() - used.sum() / 2)
    sums = np.array(list(product([0, 1], repeat=len(used)))) @ used
    return float(np.mean(np.abs(sums - used.sum() / 2) >= seen - 1e-9))


@pytest.mark.parametrize("seed", range(60))
def test_is_exact_with_ties_and_zeros(seed: int) -> None:
    generator = np.random.default_rng(seed)
    differences = generator.integers(-4, 5, size=int(generator.integers(1, 13)))
    found = signed_rank(differences, np.zeros(len(differences)))
    assert found.p_value == pytest.approx(by_enumeration(differences), abs=1e-12)
    assert found.num_zeros == (differences == 0).sum()


@pytest.mark.parametrize("num_domains", [5, 12, 25])
def test_agrees_with_scipys_exact_distribution(num_domains: int) -> None:
    for seed in range(20):
        first, second = np.random.default_rng(seed).normal(size=(2, num_domains))
        oracle = stats.wilcoxon(first, second, method="exact")
        found = signed_rank(first, second)
        assert found.is_exact
        assert found.statistic == oracle.statistic
        assert found.p_value == pytest.approx(oracle.pvalue, abs=1e-12)


@pytest.mark.parametrize("zeros", [False, True], ids=["ties", "ties and zeros"])
def test_agrees_with_scipys_approximation_for_many_domains(zeros: bool) -> None:
    for seed in range(20):
        differences = np.random.default_rng(seed).integers(-5, 9, size=70)
        if not zeros:
            differences[differences == 0] = 1
        oracle = stats.wilcoxon(differences, zero_method="pratt", correction=False, method="approx")
        found = signed_rank(differences, np.zeros(70))
        assert not found.is_exact
        assert found.statistic == oracle.statistic
        assert found.p_value == pytest.approx(oracle.pvalue, abs=1e-12)


def test_exact_and_approximate_meet_where_one_takes_over() -> None:
    generator = np.random.default_rng(1)
    for _ in range(20):
        differences = generator.normal(loc=0.3, size=EXACT_UP_TO)
        exact = signed_rank(differences, np.zeros(EXACT_UP_TO)).p_value
        approximate = stats.wilcoxon(differences, correction=False, method="approx").pvalue
        assert exact == pytest.approx(approximate, abs=0.02)


def test_rounding_breaks_no_tie() -> None:
    # In binary, 0.3 - 0.2 is not 0.2 - 0.1, and 0.1 + 0.2 is not 0.3.
    found = signed_rank([0.3, 0.2, 0.1 + 0.2, 0.9], [0.2, 0.1, 0.3, 0.5])
    assert found.num_zeros == 1
    assert found.positive_rank_sum == 2.5 + 2.5 + 4
    # A domain on another scale must not swallow the differences of the others.
    assert signed_rank([1e12, 0.3, 0.5], [2e12, 0.2, 0.1]).num_zeros == 0


def test_null_rejection_rate_is_that_of_all_sign_patterns() -> None:
    # N = 10 without ties: the largest attainable level up to 0.05 is 50/1024 (T <= 8; Wilcoxon's table).
    sizes = np.arange(1, 11)
    patterns = np.array(list(product([-1, 1], repeat=10)))
    rejected = [signed_rank(pattern * sizes, np.zeros(10)).p_value < 0.05 for pattern in patterns]
    assert sum(rejected) == 50


def test_no_difference_at_all_shows_none() -> None:
    found = signed_rank([1.0, 2.0], [1.0, 2.0])
    assert found.p_value == 1
    assert found.statistic == 0


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        ([1.0], [1.0, 2.0], OptionError),
        ([], [], OptionError),
        ([[1.0]], [[2.0]], OptionError),
        ([1.0, float("nan")], [1.0, 2.0], NotFiniteError),
        ([1.0, 2.0], [1.0, float("inf")], NotFiniteError),
    ],
)
def test_bad_columns_are_refused(first: list[float], second: list[float], error: type[ValueError]) -> None:
    with pytest.raises(error, match=r"scores: .*; allowed: "):
        signed_rank(first, second)
