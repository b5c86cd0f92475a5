"""How much of a learning signal is signal: statistics of repeated noisy visits to many instances.

Each instance is visited some times; a visit gives one number, its evidence. A random-effects model with one factor says

    x_it = mu + s_i + e_it,   Var s = signal variance, Var e = noise variance,

and the method of moments (analysis of variance; Searle, Casella and McCulloch, "Variance Components", 1992) estimates
both variances without bias however few the visits are. A naive mean over standard deviation of so few visits is mostly
noise, so every such number here comes with what noise alone would show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]

QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Visits:
    """For each of n instances: its number of visits, the mean of their evidence, and the sum of squares about that
    mean."""

    counts: Floats
    means: Floats
    squares: Floats

    def repeated(self) -> Visits:
        """The instances with two visits or more; only these show how noisy visits are."""
        return self.of(self.counts >= 2)

    def of(self, chosen: NDArray[np.bool_]) -> Visits:
        """The instances of a mask (n,)."""
        return Visits(self.counts[chosen], self.means[chosen], self.squares[chosen])


@dataclass(frozen=True)
class Anova:
    """One-way random-effects analysis of variance; NaN where there is too little to estimate from."""

    mean: float
    """Mean over all visits."""
    signal_variance: float
    """Variance of the groups' true means; unbiased, so that noise can make it negative."""
    noise_variance: float
    """Variance within groups, pooled."""
    correlation: float
    """Intraclass correlation signal / (signal + noise): the correlation of two visits to the same group."""
    standard_error: float
    """Standard error of the correlation, by the jackknife over groups: it holds for noise of any shape and of unequal
    size."""
    f: float
    """Mean square between over within groups, 1 without signal."""
    p: float
    """p-value of F, for no signal and normal noise of one size."""

    @property
    def signal_to_noise(self) -> float:
        """Standard deviation of the true means over that of the noise; 0 where the estimate is below 0."""
        if not self.noise_variance > 0:
            return float("nan")
        return float(np.sqrt(max(self.signal_variance, 0.0) / self.noise_variance))

    @property
    def is_certain(self) -> bool:
        """Whether the signal is more than chance (2 standard errors above 0)."""
        return bool(self.correlation > 2 * self.standard_error)


def analysed(visits: Visits) -> Anova:
    """The analysis of variance with instances as groups, unequal numbers of visits allowed (those of none left out)."""
    visits = visits.of(visits.counts > 0)
    n, mean, within = visits.counts, visits.means, visits.squares
    sums = np.stack([np.ones_like(n), n, n * mean, n * mean**2, within, n**2])
    total = sums.sum(axis=1)
    whole = from_sums(total)
    # Each group is left out in turn; NaN where nothing is left, and then there is no standard error.
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations = _components(total[:, None] - sums)[3]
    groups = len(n)
    spread = (
        float(np.sqrt((groups - 1) / groups * np.square(correlations - correlations.mean()).sum())) if groups else 0
    )
    return Anova(**{**vars(whole), "standard_error": spread if groups > 2 else float("nan")})


def from_sums(sums: Floats) -> Anova:
    """The same, without a standard error, from sums over groups of (1, n, n m, n m^2, squares, n^2), m their mean."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, signal, noise, correlation, f = (float(value) for value in _components(sums))
    groups, visits = sums[0], sums[1]
    p = float(stats.f.sf(f, groups - 1, visits - groups)) if np.isfinite(f) else float("nan")
    return Anova(mean, signal, noise, correlation, float("nan"), f, p)


def _components(sums: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Mean, signal variance, noise variance, intraclass correlation and F of sums (6,) or (6, many)."""
    groups, n, first, second, within, n_squared = sums
    between = (second - first**2 / n) / (groups - 1)
    noise = within / (n - groups)
    signal = (between - noise) / ((n - n_squared / n) / (groups - 1))
    return first / n, signal, noise, signal / (signal + noise), between / noise


def naive_quartiles(visits: Visits) -> tuple[float, ...]:
    """Quartiles over instances of |mean| / standard deviation over an instance's visits: biased upwards by noise."""
    visits = visits.repeated()
    return _quartiles(np.abs(_ratios(visits)))


def noise_quartiles(visits: Visits) -> tuple[float, ...]:
    """The same quartiles for as many visits of no signal and normal noise: |t| / sqrt(n) with n - 1 degrees of freedom,
    mixed over the instances."""
    counts, shares = _shares(visits)
    if len(counts) == 0:
        return (float("nan"),) * 3

    def below(value: float) -> float:
        return float(shares @ (2 * stats.t.cdf(value * np.sqrt(counts), counts - 1) - 1))

    return tuple(float(optimize.brentq(lambda x, q=q: below(x) - q, 0.0, 1e3)) for q in QUARTILES)


def corrected_quartiles(anova: Anova) -> tuple[float, ...]:
    """Quartiles over instances of the true |mean| / standard deviation, whose means are taken for normal."""
    if not anova.noise_variance > 0:
        return (float("nan"),) * 3
    noise, spread = np.sqrt(anova.noise_variance), np.sqrt(max(anova.signal_variance, 0.0))
    if spread == 0:
        return (float(abs(anova.mean) / noise),) * 3
    quartiles = stats.foldnorm.ppf(np.array(QUARTILES), abs(anova.mean) / spread, scale=spread / noise)
    return tuple(np.asarray(quartiles).tolist())


def visits_to_tell(signal_to_noise: float) -> float:
    """Visits after which an instance one signal standard deviation off the mean lies on its side of it with 95 %; NaN
    without signal."""
    return float((stats.norm.ppf(0.95) / signal_to_noise) ** 2) if signal_to_noise > 0 else float("nan")


@dataclass(frozen=True)
class Signs:
    """Shares of instances (of two visits or more) whose visits all had the same sign."""

    consistent: float
    """The observed share."""
    by_coins: float
    """Expected if every visit were the toss of a fair coin."""
    if_alike: float
    """Expected if all instances were alike: tosses of one coin that shows heads as often as visits were positive."""
    positive: float
    """Share of all visits that were positive."""


def signs(counts: Floats, positives: Floats) -> Signs:
    """How consistent the signs are, from visits and positive ones (n,) of each instance."""
    several = counts >= 2
    counts, positives = counts[several], positives[several]
    if len(counts) == 0:
        return Signs(*(float("nan"),) * 4)
    positive = float(positives.sum() / counts.sum())
    return Signs(
        consistent=float(np.mean((positives == 0) | (positives == counts))),
        by_coins=float(np.mean(2 * 0.5**counts)),
        if_alike=float(np.mean(positive**counts + (1 - positive) ** counts)),
        positive=positive,
    )


def d_prime(visits: Visits, useful: NDArray[np.bool_]) -> float:
    """(mean of the useful - mean of the others) / noise: how far one visit tells two groups apart, in noise standard
    deviations. Every visit counts the same. NaN where a group is empty or there is no noise."""
    seen = visits.counts > 0
    found = analysed(visits)
    if not (seen & useful).any() or not (seen & ~useful).any() or not found.noise_variance > 0:
        return float("nan")
    mean = {which: np.average(visits.means[g], weights=visits.counts[g]) for which, g in _groups(seen, useful)}
    return float((mean[True] - mean[False]) / np.sqrt(found.noise_variance))


def sign_d_prime(counts: Floats, positives: Floats, useful: NDArray[np.bool_]) -> float:
    """The same of visits' signs alone, which no outlier sways: the difference of the groups' shares of positive visits
    over the standard deviation of such a coin within groups. NaN where a group is empty or all coins fall alike."""
    seen = counts > 0
    if not (seen & useful).any() or not (seen & ~useful).any():
        return float("nan")
    tossed, heads = (
        np.array([part[group].sum() for _, group in _groups(seen, useful)]) for part in (counts, positives)
    )
    share = heads / tossed
    variance = float((tossed * share * (1 - share)).sum() / tossed.sum())
    return float((share[0] - share[1]) / np.sqrt(variance)) if variance > 0 else float("nan")


def t_statistics(visits: Visits) -> Floats:
    """mean / (standard deviation / sqrt(n)) (n,) of every instance of two visits or more."""
    visits = visits.repeated()
    return np.asarray(_ratios(visits) * np.sqrt(visits.counts))


def expected_t_counts(visits: Visits, edges: Floats) -> Floats:
    """How many t statistics noise alone puts into each bin between the edges, for as many visits."""
    counts, shares = _shares(visits)
    below = stats.t.cdf(edges[:, None], counts - 1) @ shares if len(counts) else np.zeros(len(edges))
    return np.asarray(np.diff(below) * len(visits.repeated().counts))


def _ratios(visits: Visits) -> Floats:
    deviation = np.sqrt(visits.squares / (visits.counts - 1))
    return np.divide(visits.means, deviation, out=np.zeros_like(deviation), where=deviation > 0)


def _shares(visits: Visits) -> tuple[Floats, Floats]:
    """The numbers of visits that occur, two or more, and the share of instances that have each."""
    values, counts = np.unique(visits.repeated().counts, return_counts=True)
    return values, counts / max(1, counts.sum())


def _quartiles(values: Floats) -> tuple[float, ...]:
    return tuple(float(q) for q in np.quantile(values, QUARTILES)) if len(values) else (float("nan"),) * 3


def _groups(seen: NDArray[np.bool_], useful: NDArray[np.bool_]) -> tuple[tuple[bool, NDArray[np.bool_]], ...]:
    return (True, seen & useful), (False, seen & ~useful)
