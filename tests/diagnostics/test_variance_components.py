"""Signal and noise against scipy's own analysis of variance, brute force, and simulations whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bdw.diagnostics import variance_components
from bdw.diagnostics.variance_components import Visits


def visits_of(groups: list[NDArray[np.float64]]) -> Visits:
    counts, means = (np.array([pick(g) for g in groups], dtype=np.float64) for pick in (len, np.mean))
    return Visits(counts, means, np.array([np.square(g - g.mean()).sum() for g in groups]))


def simulated(
    n: int, counts: NDArray[np.int64], *, mean: float, spread: float, noise: NDArray[np.float64] | float, seed: int
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Visits of n instances whose true means are normal, and those means."""
    rng = np.random.default_rng(seed)
    true = rng.normal(mean, spread, n)
    sizes = np.broadcast_to(noise, n)
    return [rng.normal(true[i], sizes[i], counts[i]) for i in range(n)], true


@pytest.mark.parametrize("unequal", [False, True])
def test_f_and_p_are_scipys(unequal: bool) -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(rng.normal(), 2, rng.integers(2, 9) if unequal else 5) for _ in range(30)]
    expected = stats.f_oneway(*groups)
    found = variance_components.analysed(visits_of(groups))
    assert found.f == pytest.approx(expected.statistic, rel=1e-10)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-8)
    assert found.mean == pytest.approx(np.concatenate(groups).mean(), rel=1e-10)


def test_instances_never_visited_do_not_count_and_those_visited_once_do() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(size=k) for k in (4, 3, 1, 1, 5)]
    visits = visits_of(groups)
    padded = Visits(*(np.append(part, 0.0) for part in (visits.counts, visits.means, visits.squares)))
    assert variance_components.analysed(padded) == variance_components.analysed(visits)
    assert variance_components.analysed(visits).f == pytest.approx(stats.f_oneway(*groups).statistic)


def test_the_standard_error_is_the_jackknifes() -> None:
    rng = np.random.default_rng(1)
    groups = [rng.normal(rng.normal(), 2, k) for k in rng.integers(1, 9, 12)]
    correlations = np.array(
        [variance_components.analysed(visits_of(groups[:i] + groups[i + 1 :])).correlation for i in range(len(groups))]
    )
    expected = math.sqrt(11 / 12 * np.square(correlations - correlations.mean()).sum())
    assert variance_components.analysed(visits_of(groups)).standard_error == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("true", [0.0, 0.05])
def test_the_standard_error_holds_where_noise_differs_in_size(true: float) -> None:
    """Images differ in the size of their noise, here by a factor of 17 between the outer 2.5 %: the F test, which takes
    it for equal, finds signal in noise far too often; the jackknife's interval covers the truth as it should."""
    rng = np.random.default_rng(2)
    n, visits, repeats = 1000, 6, 200
    covered, certain, significant = [], [], []
    for _ in range(repeats):
        noise = np.exp(rng.normal(-(0.7**2), 0.7, n))  # of variance 1 on average
        seen = rng.normal(0, math.sqrt(true / (1 - true)), (n, 1)) + rng.normal(size=(n, visits)) * noise[:, None]
        found = variance_components.analysed(visits_of(list(seen)))
        covered.append(abs(found.correlation - true) < 1.96 * found.standard_error)
        certain.append(found.is_certain)
        significant.append(found.p < 0.05)
    assert np.mean(covered) == pytest.approx(0.94, abs=0.04)
    if true:
        assert np.mean(certain) > 0.6
    else:
        assert np.mean(certain) < 0.05
        assert np.mean(significant) > 0.12


@pytest.mark.parametrize("few", [3, 10])
def test_the_correction_finds_the_truth_where_the_naive_figure_is_mostly_noise(few: int) -> None:
    n, mean, spread = 8000, 0.05, 0.1
    counts = np.random.default_rng(0).integers(few - 1, few + 2, n)
    groups, true = simulated(n, counts, mean=mean, spread=spread, noise=1.0, seed=3)
    visits = visits_of(groups)
    found = variance_components.analysed(visits)
    truth = np.quantile(np.abs(true), variance_components.QUARTILES)
    naive, corrected = variance_components.naive_quartiles(visits), variance_components.corrected_quartiles(found)
    assert naive[1] > 2.5 * truth[1], "there was nothing to correct"
    # Three standard errors of the signal's variance, which is a correlation as the noise is 1, on either side.
    low, high = (math.sqrt(max(0, spread**2 + k * found.standard_error)) for k in (-3, 3))
    assert low < found.signal_to_noise < high
    assert corrected[1] == pytest.approx(truth[1], rel=high / spread - 1)
    assert corrected[2] == pytest.approx(truth[2], rel=high / spread - 1)


def test_the_estimate_of_the_signal_is_unbiased_without_any() -> None:
    """Over many repeats it averages to 0, below as often as above: it must not be cut off there before averaging."""
    estimates = [
        variance_components.analysed(
            visits_of(simulated(50, np.full(50, 3), mean=0.3, spread=0, noise=1, seed=seed)[0])
        )
        for seed in range(400)
    ]
    variances = np.array([each.signal_variance for each in estimates])
    assert variances.mean() == pytest.approx(0, abs=4 * variances.std() / 20)
    assert np.mean([each.is_certain for each in estimates]) < 0.06
    assert all(each.signal_to_noise >= 0 for each in estimates)


def test_noise_alone_shows_these_quartiles() -> None:
    counts = np.array([2, 3, 3, 7] * 10000)
    groups, _ = simulated(len(counts), counts, mean=0, spread=0, noise=3.0, seed=4)
    visits = visits_of(groups)
    assert variance_components.noise_quartiles(visits) == pytest.approx(
        variance_components.naive_quartiles(visits), rel=0.03
    )
    one_count = Visits(np.full(5, 6.0), np.zeros(5), np.ones(5))
    expected = stats.t.ppf([0.625, 0.75, 0.875], 5) / math.sqrt(6)
    assert variance_components.noise_quartiles(one_count) == pytest.approx(expected, rel=1e-9)


def test_t_statistics_and_their_null_distribution() -> None:
    counts = np.array([2, 4, 4, 9, 1] * 4000)
    groups, _ = simulated(len(counts), counts, mean=0, spread=0, noise=1.0, seed=5)
    visits = visits_of(groups)
    found = variance_components.t_statistics(visits)
    expected = [stats.ttest_1samp(g, 0).statistic for g in groups[:20] if len(g) > 1]
    assert found[: len(expected)] == pytest.approx(expected)
    edges = np.array([-np.inf, -2, -1, 0, 1, 2, np.inf])
    wanted = variance_components.expected_t_counts(visits, edges)
    assert wanted.sum() == pytest.approx(len(found)) == 16000
    assert stats.chisquare(np.histogram(found, edges)[0], wanted).pvalue > 0.01


def test_signs_against_coins() -> None:
    rng = np.random.default_rng(6)
    counts = rng.integers(1, 6, 60000).astype(np.float64)
    tossed = rng.binomial(counts.astype(int), 0.7).astype(np.float64)
    found = variance_components.signs(counts, tossed)
    assert found.positive == pytest.approx(0.7, abs=0.01)
    assert found.consistent == pytest.approx(found.if_alike, abs=0.01), "these are all alike"
    fair = rng.binomial(counts.astype(int), 0.5).astype(np.float64)
    assert found.by_coins == pytest.approx(variance_components.signs(counts, fair).consistent, abs=0.01)
    assert variance_components.signs(np.array([3.0, 3, 3, 1]), np.array([3.0, 0, 2, 0])).consistent == pytest.approx(
        2 / 3
    )


def test_visits_to_tell_are_enough_for_95_percent() -> None:
    rng = np.random.default_rng(7)
    visits = variance_components.visits_to_tell(0.2)
    sums = rng.normal(0.2, 1, (20000, math.ceil(visits))).sum(axis=1)
    assert (sums > 0).mean() == pytest.approx(0.95, abs=0.006)
    assert math.isnan(variance_components.visits_to_tell(0.0))


def test_d_prime_of_two_groups() -> None:
    rng = np.random.default_rng(8)
    useful = np.arange(20000) % 3 == 0
    counts = rng.integers(2, 7, len(useful))
    groups = [rng.normal(1.0 + 0.6 * u, 2.0, k) for u, k in zip(useful, counts, strict=True)]
    assert variance_components.d_prime(visits_of(groups), useful) == pytest.approx(0.3, abs=0.02)
    assert math.isnan(variance_components.d_prime(visits_of(groups), np.ones_like(useful)))


def test_d_prime_of_signs_is_not_swayed_by_outliers() -> None:
    """Signs of Cauchy noise about +-0.3 are coins of known shares; two coins p and q lie (p - q) / s apart."""
    rng = np.random.default_rng(9)
    useful = np.arange(20000) % 2 == 0
    said = rng.standard_cauchy((len(useful), 5)) + np.where(useful, 0.3, -0.3)[:, None]
    share = stats.cauchy.cdf(0.3)
    expected = (2 * share - 1) / math.sqrt(share * (1 - share))
    counts, positives = np.full(len(useful), 5.0), (said > 0).sum(axis=1).astype(np.float64)
    assert variance_components.sign_d_prime(counts, positives, useful) == pytest.approx(expected, abs=0.02)
    assert abs(variance_components.d_prime(visits_of(list(said)), useful)) < 0.1
    assert math.isnan(variance_components.sign_d_prime(counts, counts, useful))
    assert math.isnan(variance_components.sign_d_prime(counts, positives, np.zeros_like(useful)))


def test_too_few_visits_say_nothing() -> None:
    once = Visits(np.ones(5), np.arange(5.0), np.zeros(5))
    found = variance_components.analysed(once)
    assert math.isnan(found.correlation)
    assert math.isnan(found.p)
    assert not found.is_certain
    assert np.isnan(variance_components.naive_quartiles(once)).all()
    assert np.isnan(variance_components.noise_quartiles(once)).all()
    assert np.isnan(variance_components.corrected_quartiles(found)).all()
    assert math.isnan(variance_components.signs(once.counts, once.counts).consistent)
    assert variance_components.expected_t_counts(once, np.array([-1.0, 1.0])).tolist() == [0.0]
    never = Visits(np.zeros(5), np.zeros(5), np.zeros(5))
    assert math.isnan(variance_components.analysed(never).correlation)
