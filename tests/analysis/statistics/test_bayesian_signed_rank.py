import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import bayesian_signed_rank, bayesian_signed_rank_of_all_pairs
from analysis.errors import MissingCellsError, OptionError
from analysis.statistics.bayesian_signed_rank import PosteriorOfPair

SAMPLES = 20_000


def table_of(differences: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"a": differences, "b": np.zeros(len(differences))})


def posterior(differences: list[float], rope: float, **options: Any) -> PosteriorOfPair:
    wanted = {"num_samples": SAMPLES, "higher_is_better": True, **options}
    return bayesian_signed_rank(table_of(differences), "a", "b", rope=rope, **wanted)


def within_monte_carlo_error(share: float, expected: float, num_samples: int = SAMPLES) -> bool:
    # Five standard errors: one in a million tests fails by chance.
    return abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / num_samples) + 1e-12


@pytest.mark.parametrize("num_domains", [3, 8, 25])
def test_all_differences_far_beyond_the_region(num_domains: int) -> None:
    # Only the pseudo-observation drawn twice votes for "equivalent": it wins where its weight's square is above 1/2.
    # A single Dirichlet weight is Beta-distributed.
    expected = stats.beta.sf(np.sqrt(0.5), 0.5, num_domains)
    found = posterior([5.0] * num_domains, rope=0.1)
    assert within_monte_carlo_error(found.equivalent, expected)
    assert found.second_is_better == 0
    assert found.first_is_better == 1 - found.equivalent


@pytest.mark.parametrize("num_domains", [3, 8, 25])
def test_differences_that_the_prior_pulls_into_the_region(num_domains: int) -> None:
    # (0 + 0.15) / 2 lies in the region, (0.15 + 0.15) / 2 beyond it.
    expected = stats.beta.sf(1 - np.sqrt(0.5), 0.5, num_domains)
    found = posterior([-0.15] * num_domains, rope=0.1)
    assert within_monte_carlo_error(found.equivalent, expected)
    assert found.first_is_better == 0


def by_direct_loops(differences: np.ndarray, rope: float, num_samples: int, seed: int) -> np.ndarray:
    """Benavoli et al. 2017, section 4.2, as it is written: counts of the answers with the largest share."""
    points = [0.0, *differences]
    generator = np.random.default_rng(seed)
    counts = np.zeros(3)
    for _ in range(num_samples):
        weights = generator.dirichlet([0.5] + [1.0] * len(differences))
        shares = [0.0, 0.0, 0.0]
        for (i, a), (j, b) in itertools.product(enumerate(points), repeat=2):
            mean = (a + b) / 2
            shares[0 if mean > rope else 2 if mean < -rope else 1] += weights[i] * weights[j]
        counts[int(np.argmax(shares))] += 1
    return counts / num_samples


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_direct_loops(seed: int) -> None:
    differences = np.random.default_rng(seed).normal(0.3, 1, size=7)
    expected = by_direct_loops(differences, 0.4, num_samples=1500, seed=99)
    found = posterior(differences.tolist(), rope=0.4, seed=99, num_samples=1500)
    # The same random numbers: NumPy draws rows of Dirichlet weights alike, one by one or all at once.
    np.testing.assert_allclose(
        [found.first_is_better, found.equivalent, found.second_is_better], expected, rtol=0, atol=1e-12
    )


# baycomp 1.0.3 (the authors of the test wrote it), SignedRankTest.probs with 20 x 50,000 samples: the first method is
# better, equivalent, the second is better. Frozen: its package installs a top-level `tests`, which would hide ours.
BAYCOMP = [
    (0, 0.0, (0.9655, 0.0000, 0.0345)),
    (0, 0.3, (0.8530, 0.1083, 0.0387)),
    (1, 0.0, (0.9463, 0.0000, 0.0537)),
    (1, 0.3, (0.9547, 0.0248, 0.0205)),
    (2, 0.0, (0.7968, 0.0000, 0.2032)),
    (2, 0.3, (0.7140, 0.0629, 0.2231)),
    (3, 0.0, (0.6612, 0.0000, 0.3388)),
    (3, 0.3, (0.4904, 0.1852, 0.3244)),
    (4, 0.0, (0.7032, 0.0000, 0.2968)),
    (4, 0.3, (0.6518, 0.0659, 0.2823)),
    (5, 0.0, (0.9439, 0.0000, 0.0561)),
    (5, 0.3, (0.9144, 0.0446, 0.0410)),
]


@pytest.mark.parametrize(("seed", "rope", "expected"), BAYCOMP)
def test_agrees_with_baycomp(seed: int, rope: float, expected: tuple[float, float, float]) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(0.25, 1, size=12), generator.normal(size=12)
    found = bayesian_signed_rank(
        pd.DataFrame({"a": a, "b": b}), "a", "b", higher_is_better=True, rope=rope, num_samples=SAMPLES
    )
    shares = (found.first_is_better, found.equivalent, found.second_is_better)
    assert sum(shares) == pytest.approx(1)
    for share, other in zip(shares, expected, strict=True):
        assert abs(share - other) <= 5 * np.sqrt(max(other * (1 - other), 1e-5) / SAMPLES) + 2e-3


def test_equal_methods_are_equivalent() -> None:
    found = posterior([0.0] * 6, rope=0.0)
    assert (found.first_is_better, found.equivalent, found.second_is_better) == (0, 1, 0)


def test_a_difference_as_large_as_the_region_lies_in_it_whatever_its_rounding() -> None:
    pairs = [(0.71, 0.70), (0.31, 0.30), (0.81, 0.80), (0.07, 0.06)]
    assert any(a - b > 0.01 for a, b in pairs)
    table = pd.DataFrame(pairs, columns=["a", "b"])
    found = bayesian_signed_rank(table, "a", "b", higher_is_better=True, rope=0.01, num_samples=100)
    assert found.equivalent == 1


def test_direction_order_and_unit() -> None:
    differences = np.random.default_rng(3).normal(0.3, 1, size=9).tolist()
    one = posterior(differences, rope=0.2)
    as_losses = posterior(differences, rope=0.2, higher_is_better=False)
    in_percent = posterior([100 * value for value in differences], rope=20)
    swapped = bayesian_signed_rank(
        table_of(differences), "b", "a", higher_is_better=True, rope=0.2, num_samples=SAMPLES
    )
    assert (as_losses.first_is_better, as_losses.second_is_better) == (one.second_is_better, one.first_is_better)
    assert (swapped.first_is_better, swapped.second_is_better) == (one.second_is_better, one.first_is_better)
    assert in_percent.first_is_better == one.first_is_better


def test_the_same_seed_gives_the_same_numbers() -> None:
    differences = np.random.default_rng(3).normal(0.3, 1, size=9).tolist()
    assert posterior(differences, rope=0.2, seed=1) == posterior(differences, rope=0.2, seed=1)
    assert posterior(differences, rope=0.2, seed=1) != posterior(differences, rope=0.2, seed=2)


def test_standard_errors_hold_over_seeds() -> None:
    differences = np.random.default_rng(5).normal(0.3, 1, size=9).tolist()
    runs = [posterior(differences, rope=0.3, seed=seed, num_samples=400) for seed in range(200)]
    spread = np.std([run.first_is_better for run in runs], ddof=1)
    claimed = np.mean([run.standard_errors[0] for run in runs])
    # The standard deviation of 200 numbers is itself known to about 5 %.
    assert claimed == pytest.approx(spread, rel=0.25)
    assert posterior([5.0] * 30, rope=0.1).standard_errors[2] > 0


def test_all_pairs_are_the_single_pairs_better_ranked_first() -> None:
    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.normal(size=(8, 4)) + np.array([0, 2, 1, 3]), columns=list("wxyz"))
    options: dict[str, Any] = {"higher_is_better": True, "rope": 0.2, "num_samples": 500, "seed": 4}
    found = bayesian_signed_rank_of_all_pairs(table, **options)
    assert [(pair.first, pair.second) for pair in found] == list(itertools.combinations("zxyw", 2))
    assert list(found) == [bayesian_signed_rank(table, pair.first, pair.second, **options) for pair in found]


def test_seeds_are_averaged_within_a_domain() -> None:
    table = table_of([0.4, -0.1, 0.3, 0.5])
    rows = [
        {"method": m, "domain": f"d{d}", "seed": s, "metric": "accuracy", "value": table.at[d, m] + 0.125 * (s - 1)}
        for d, m, s in itertools.product(table.index, table.columns, range(3))
    ]
    options: dict[str, Any] = {"higher_is_better": True, "rope": 0.1, "num_samples": 500}
    from_long = bayesian_signed_rank(pd.DataFrame(rows), "a", "b", **options)
    assert from_long == bayesian_signed_rank(table, "a", "b", **options)
    assert from_long.num_domains == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope": -0.1}, "rope: -0.1; allowed: a finite number of at least 0"),
        ({"rope": float("nan")}, "rope: nan"),
        ({"rope": "0.1"}, "rope: '0.1'"),
        ({"num_samples": 0}, "num_samples: 0; allowed: a whole number of at least 1"),
        ({"seed": 1.5}, "seed: 1.5"),
        ({"first": "c"}, "first: 'c' is not a method; allowed: a, b"),
        ({"second": "a"}, "second: 'a' is the first method, too"),
    ],
)
def test_bad_options_are_refused(change: dict[str, Any], message: str) -> None:
    wanted = {"first": "a", "second": "b", "higher_is_better": True, "rope": 0.1, **change}
    with pytest.raises(OptionError, match=message):
        bayesian_signed_rank(table_of([1.0, 2.0]), **wanted)


def test_missing_cells_are_refused() -> None:
    with pytest.raises(MissingCellsError):
        posterior([1.0, float("nan")], rope=0.1)
