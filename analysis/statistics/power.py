"""The power of `compare`, by simulation: which differences a comparison of k methods over N domains could show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.errors import OptionError, shown
from analysis.options import require_share, require_whole
from analysis.statistics import nemenyi
from analysis.statistics.pairs import Floats
from analysis.statistics.signed_rank import lower_tail

Bools = npt.NDArray[np.bool_]

MAX_DOMAINS = 1000
"""How many domains `domains_needed` considers at most."""

_MAX_SCORES = 2**21
"""How many scores are simulated at most: with many methods and domains there are fewer simulations."""

_LARGEST_DIFFERENCE = 8.0
"""Largest difference considered, in standard deviations. Beyond it a method wins on all but 1 of 10^8 domains."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """How often simulated comparisons showed a difference that was there.

    One method is ahead of all others, which are alike. The scores of a domain are normal with the same standard
    deviation for every method; what makes a domain easy for all methods does not matter to ranks.
    """

    num_domains: int
    num_methods: int
    alpha: float
    difference: float
    """By how much the method is ahead, in standard deviations of a method's score around its mean on a domain."""
    shown: float
    """Probability that the method and a given other one are told apart: the test over all methods rejects, and the
    method's average rank is better by the critical difference or more."""
    rejected: float
    """Probability that the test over all methods rejects."""
    shown_standard_error: float
    """Monte-Carlo standard error of `shown`."""
    rejected_standard_error: float
    """The same of `rejected`."""
    num_simulations: int

    @property
    def win_probability(self) -> float:
        """Probability that the method is better than a given other one on a domain: Phi(difference / sqrt 2)."""
        return win_probability(self.difference)


@dataclass(frozen=True, kw_only=True)
class DetectableDifference:
    """The smallest difference that a comparison of this size shows with the wanted power."""

    wanted: float
    """The wanted power."""
    at_difference: Power | None
    """Power at the smallest difference that has it; None where no difference does, however large."""
    at_most: Power
    """Power where the method is better than all others on every domain: the highest possible."""

    def in_words(self) -> str:
        """Return a sentence on how large a difference must be to be found."""
        limit = self.at_most
        given = f"With {limit.num_domains} domains and {limit.num_methods} methods"
        if self.at_difference is None:
            return (
                f"{given} even a method that wins on every domain is told apart from a given other one with a "
                f"probability of only {_percent(limit.shown)} (alpha = {limit.alpha:g})."
            )
        others = "" if limit.num_methods == 2 else ", all others alike"
        return (
            f"{given} you can detect only a method that wins on {_percent(self.at_difference.win_probability)} of "
            f"domains against another: the two are told apart with a probability of {_percent(self.wanted)} (alpha = "
            f"{limit.alpha:g}; ahead by {self.at_difference.difference:.2f} standard deviations{others})."
        )


@dataclass(frozen=True, kw_only=True)
class DomainsNeeded:
    """How many domains it takes to show a difference with the wanted power."""

    wanted: float
    """The wanted power."""
    at_number: Power | None
    """Power at the smallest number of domains that has it; None where `MAX_DOMAINS` have not."""
    difference: float
    num_methods: int
    alpha: float

    def in_words(self) -> str:
        """Return a sentence on how many domains it takes."""
        found = self.at_number
        number = f"more than {MAX_DOMAINS}" if found is None else f"{found.num_domains}"
        return (
            f"With {self.num_methods} methods it takes {number} domains to tell a method that wins on "
            f"{_percent(win_probability(self.difference))} of domains against another apart from it with a probability "
            f"of {_percent(self.wanted)} (alpha = {self.alpha:g})."
        )


def power(
    difference: float,
    *,
    num_domains: int,
    num_methods: int,
    alpha: float = 0.05,
    num_simulations: int = 10_000,
    seed: int = 0,
) -> Power:
    """Estimate how often `compare` shows a difference between the best method and a given other one.

    Its rule is simulated: Friedman's test at alpha, and average ranks at least Nemenyi's critical difference apart; for
    two methods Wilcoxon's signed-rank test (exact up to 25 domains). A difference in the wrong direction does not
    count.

    Args:
        difference: by how much the method is ahead of all others, in standard deviations of one method's score on a
            domain; at least 0; math.inf for a method that wins everywhere.
        num_domains: N, at least 2.
        num_methods: k, at least 2.
        alpha: level of the tests, in (0, 1). num_simulations: largest number of simulations; fewer where these would
            hold more than two million scores.
        seed: of the random numbers; the same seed gives the same numbers.

    Returns:
        a `Power`; how many simulations there were stands in it.

    Raises:
        AnalysisInputError: an argument outside its range.
    """
    _require_design(num_domains, num_methods, alpha, num_simulations, seed)
    _require_difference(difference)
    return _Simulation(num_domains, num_methods, alpha, num_simulations, seed).power(difference)


def detectable_difference(
    *,
    num_domains: int,
    num_methods: int,
    wanted: float = 0.8,
    alpha: float = 0.05,
    num_simulations: int = 10_000,
    seed: int = 0,
) -> DetectableDifference:
    """Find the smallest difference that `compare` shows with the wanted power, by bisection over `power`.

    Args:
        num_domains: N, at least 2.
        num_methods: k, at least 2.
        wanted: the power, in (0, 1).
        alpha: level of the tests, in (0, 1).
        num_simulations: as for `power`; all differences meet the same simulated noise.
        seed: of the random numbers.

    Returns:
        a `DetectableDifference`; its difference is good to 0.01 standard deviations and the Monte-Carlo error.

    Raises:
        AnalysisInputError: an argument outside its range.
    """
    require_share("wanted", wanted)
    _require_design(num_domains, num_methods, alpha, num_simulations, seed)
    simulation = _Simulation(num_domains, num_methods, alpha, num_simulations, seed)
    at_most = simulation.power(math.inf)
    low, high = 0.0, _LARGEST_DIFFERENCE
    best = simulation.power(high)
    if best.shown < wanted:
        return DetectableDifference(wanted=wanted, at_difference=None, at_most=at_most)
    while high - low > 0.01:
        middle = (low + high) / 2
        found = simulation.power(middle)
        if found.shown >= wanted:
            high, best = middle, found
        else:
            low = middle
    return DetectableDifference(wanted=wanted, at_difference=best, at_most=at_most)


def domains_needed(
    difference: float,
    *,
    num_methods: int,
    wanted: float = 0.8,
    alpha: float = 0.05,
    num_simulations: int = 10_000,
    seed: int = 0,
) -> DomainsNeeded:
    """Find how many domains it takes until `compare` shows a difference with the wanted power.

    The number is found by bisection. As ranks are whole numbers, power can drop by a little from one number of domains
    to the next: the number found has the wanted power, and the one before it has not.

    Args:
        difference: by how much the method is ahead, as for `power`; above 0.
        num_methods: k, at least 2.
        wanted: the power, in (0, 1).
        alpha: level of the tests, in (0, 1).
        num_simulations: as for `power`.
        seed: of the random numbers.

    Returns:
        a `DomainsNeeded`.

    Raises:
        AnalysisInputError: an argument outside its range.
    """
    require_share("wanted", wanted)
    _require_design(2, num_methods, alpha, num_simulations, seed)
    _require_difference(difference)

    def at(num_domains: int) -> Power:
        return _Simulation(num_domains, num_methods, alpha, num_simulations, seed).power(difference)

    low, high = 1, 2
    best = at(high)
    while best.shown < wanted and high < MAX_DOMAINS:
        low, high = high, min(2 * high, MAX_DOMAINS)
        best = at(high)
    while best.shown >= wanted and high - low > 1:
        middle = (low + high) // 2
        found = at(middle)
        if found.shown >= wanted:
            high, best = middle, found
        else:
            low = middle
    return DomainsNeeded(
        wanted=wanted,
        at_number=best if best.shown >= wanted else None,
        difference=float(difference),
        num_methods=num_methods,
        alpha=float(alpha),
    )


def win_probability(difference: float) -> float:
    """Return the chance that a method wins on a domain if it is ahead by `difference` standard deviations."""
    return float(stats.norm.cdf(difference / math.sqrt(2)))


class _Simulation:
    """Noise of many comparisons, drawn once; any difference can then be planted in it."""

    def __init__(self, num_domains: int, num_methods: int, alpha: float, num_simulations: int, seed: int) -> None:
        self.num_domains, self.num_methods, self.alpha = num_domains, num_methods, float(alpha)
        self.num_simulations = max(1, min(num_simulations, _MAX_SCORES // (num_domains * num_methods)))
        shape = (self.num_simulations, num_domains, num_methods)
        noise = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
        self.needed = noise[:, :, 1:] - noise[:, :, :1]
        """(simulations, N, k-1): by how much the first method must be ahead to beat each of the others."""
        ranks = np.empty((self.num_simulations, num_domains, num_methods - 1), dtype=np.int64)
        np.put_along_axis(ranks, np.argsort(-noise[:, :, 1:], axis=2), np.arange(1, num_methods), axis=2)
        self.rank_sums = ranks.sum(axis=1)
        """(simulations, k-1): rank sums of the others among themselves."""

    def power(self, difference: float) -> Power:
        told_apart, rejected = (
            self._by_signed_ranks(difference) if self.num_methods == 2 else self._by_ranks(difference)
        )
        # The others are alike: each of them is as good a "given other one", and their mean varies less.
        shares = told_apart.mean(axis=1)
        return Power(
            num_domains=self.num_domains,
            num_methods=self.num_methods,
            alpha=self.alpha,
            difference=float(difference),
            shown=float(shares.mean()),
            rejected=float(rejected.mean()),
            shown_standard_error=float(shares.std()) / math.sqrt(self.num_simulations),
            rejected_standard_error=float(rejected.std()) / math.sqrt(self.num_simulations),
            num_simulations=self.num_simulations,
        )

    def _by_ranks(self, difference: float) -> tuple[Bools, Bools]:
        """(simulations, k-1) whether each other method is told apart, and (simulations,) whether Friedman rejects."""
        n, k = self.num_domains, self.num_methods
        wins = (self.needed < difference).sum(axis=1)
        # A beaten method moves down by one rank; the first method is one rank behind all that it does not beat.
        others = self.rank_sums + wins
        first = n * k - wins.sum(axis=1)
        squares = np.square(first.astype(float)) + np.square(others.astype(float)).sum(axis=1)
        statistic = 12 * squares / (n * k * (k + 1)) - 3 * n * (k + 1)
        rejected = stats.chi2.sf(statistic, k - 1) < self.alpha
        apart = (others - first[:, None]) / n >= nemenyi.critical_difference(k, n, self.alpha)
        return apart & rejected[:, None], rejected

    def _by_signed_ranks(self, difference: float) -> tuple[Bools, Bools]:
        """The same for two methods, by Wilcoxon's signed-rank test: ties have no chance here."""
        n = self.num_domains
        if math.isinf(difference):
            favourable = np.full(self.num_simulations, n * (n + 1) // 2)
        else:
            gains = difference - self.needed[:, :, 0]
            ranks = np.argsort(np.argsort(np.abs(gains), axis=1), axis=1) + 1
            favourable = np.where(gains > 0, ranks, 0).sum(axis=1)
        smaller = np.minimum(favourable, n * (n + 1) // 2 - favourable)
        rejected = _signed_rank_p_values(n)[smaller] < self.alpha
        return (rejected & (favourable > smaller))[:, None], rejected


def _signed_rank_p_values(num_domains: int) -> Floats:
    """Two-sided p-values by the smaller rank sum, 0 to n(n+1)/4 rounded down."""
    total = num_domains * (num_domains + 1) // 2
    ranks, sums = np.arange(1.0, num_domains + 1), np.arange(total // 2 + 1, dtype=float)
    return np.asarray(np.minimum(1.0, 2 * lower_tail(ranks, sums)))


def _percent(share: float) -> str:
    """Whole percent, but never 0 or 100 for what is not quite."""
    for decimals in (0, 1, 2):
        text = f"{100 * share:.{decimals}f}"
        if share in (0, 1) or float(text) not in (0, 100):
            return f"{text} %"
    return "over 99.99 %" if share > 0.5 else "under 0.01 %"


def _require_design(num_domains: int, num_methods: int, alpha: float, num_simulations: int, seed: int) -> None:
    require_whole("num_domains", num_domains, at_least=2)
    require_whole("num_methods", num_methods, at_least=2)
    require_share("alpha", alpha)
    require_whole("num_simulations", num_simulations, at_least=1)
    require_whole("seed", seed, at_least=0)


def _require_difference(difference: float) -> None:
    if isinstance(difference, bool) or not isinstance(difference, (int, float, np.number)) or not difference >= 0:
        raise OptionError(f"difference: {shown(difference)}; allowed: a number of at least 0, in standard deviations")
