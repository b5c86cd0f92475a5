"""How large are the differences between methods, and how well are they known? p-values answer neither."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.options import require_share, require_whole
from analysis.score_table import score_table
from analysis.statistics.pairs import Floats, advantages, ranked_pairs

Counts = npt.NDArray[np.int64]


def effect_sizes(
    scores: pd.DataFrame,
    *,
    higher_is_better: bool,
    confidence: float = 0.95,
    metric: str | None = None,
    num_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure how far apart the methods of every pair are over the domains.

    Positive numbers say that the first method is the better one, for losses, too. Intervals come from a bootstrap over
    domains, the only independent observations (seeds are averaged within a domain first): the same resamples serve all
    pairs. They are percentile intervals, made wider as Student's t is wider than the normal distribution and as the
    variance of few observations is too small (Hesterberg 2015, The American Statistician 69(4)): plain percentile
    intervals of ten domains hold the truth in 90 instead of 95 of 100 cases. Where all domains agree exactly, an
    interval is a point: the data then hold no hint of how far the truth may be.

    Args:
        scores: wide or long table, as for `compare`.
        higher_is_better: True for accuracies, False for losses.
        confidence: nominal coverage of each interval by itself, in (0, 1).
        metric: which metric of a long table; None where it holds exactly one.
        num_resamples: bootstrap samples.
        seed: of the random numbers; the same seed gives the same intervals.

    Returns:
        DataFrame, a row for each of the k(k-1)/2 pairs, in each the method with the better average rank first, in the
        order of average ranks. Columns: first, second; mean_difference and hodges_lehmann (the median of the means of
        two domains' differences, a domain with itself included), both in the unit of the scores; rank_biserial (the
        matched-pairs rank-biserial correlation, -1 to 1: the share of the signed-rank test's rank sum that speaks for
        the first, less that for the second; ties dropped, 0 where all domains tie); for each of the three a column
        ending in _low and in _high; wins, ties and losses of the first method, in domains.

    Raises:
        AnalysisInputError: as `compare`; a confidence outside (0, 1), no resamples.
    """
    require_share("confidence", confidence)
    require_whole("num_resamples", num_resamples, at_least=1)
    require_whole("seed", seed, at_least=0)
    table = score_table(scores, higher_is_better=higher_is_better, metric=metric)
    num_domains = len(table)
    drawn, once = _resamples(num_domains, num_resamples, seed), np.ones((1, num_domains), dtype=np.int64)
    tail = _tail(num_domains, confidence)
    rows = []
    for first, second in ranked_pairs(table, higher_is_better=higher_is_better):
        differences = advantages(table, first, second, higher_is_better=higher_is_better)
        row: dict[str, Any] = {"first": first, "second": second}
        for name, statistic in _STATISTICS.items():
            low, high = np.quantile(statistic(differences, drawn), [tail, 1 - tail])
            row |= {name: float(statistic(differences, once)[0]), f"{name}_low": low, f"{name}_high": high}
        signs = np.sign(differences)
        row |= {name: int((signs == sign).sum()) for name, sign in (("wins", 1), ("ties", 0), ("losses", -1))}
        rows.append(row)
    return pd.DataFrame(rows)


def mean_differences(differences: Floats, counts: Counts) -> Floats:
    """Means of samples that hold each difference as often as it is counted: (n,) and (m, n) to (m,)."""
    return np.asarray((counts @ differences) / counts.sum(axis=1))


def hodges_lehmann(differences: Floats, counts: Counts) -> Floats:
    """Medians of the samples' Walsh averages (d_i + d_j)/2, i <= j: (n,) and (m, n) to (m,).

    All samples share their Walsh averages and differ in how often they hold each, so that these are sorted once and
    every sample's median is found by bisection.
    """
    order = np.argsort(differences)
    counts, differences = counts[:, order], differences[order]
    walsh = (differences[:, None] + differences) / 2
    values, places_of = np.unique(walsh, return_inverse=True)
    # How many of the sorted differences make an average of at most this value, with each difference and with itself.
    partners = np.zeros((len(values), len(differences)), dtype=np.int16 if len(differences) < 2**15 else np.int64)
    np.add.at(partners, (places_of.reshape(walsh.shape), np.arange(len(differences))[:, None]), 1)
    partners.cumsum(axis=0, out=partners)
    with_itself = np.searchsorted(differences, values, side="right")
    cumulative = np.pad(counts.cumsum(axis=1), ((0, 0), (1, 0)))
    samples = np.arange(len(counts))
    rows = samples[:, None] * cumulative.shape[1]

    def number_up_to(places: Counts) -> Counts:
        """How many Walsh averages of each sample are at most the value at its place."""
        ordered_pairs = (counts * np.take(cumulative, partners[places] + rows)).sum(axis=1)
        return np.asarray((ordered_pairs + cumulative[samples, with_itself[places]]) // 2)

    def place(number: Counts, low: Counts, step: int) -> Counts:
        """The place, at `low` or above, of the first Walsh average of each sample that `number` of them do not exceed.

        Steps away from `low` double from `step` on, until they are too large."""
        last = len(values) - 1
        high = np.minimum(low + step, last)
        while (short := number_up_to(high) < number).any():
            step *= 2
            low, high = np.where(short, high + 1, low), np.where(short, np.minimum(high + step, last), high)
        while (low < high).any():
            middle = (low + high) // 2
            enough = number_up_to(middle) >= number
            low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
        return low

    sizes = counts.sum(axis=1)
    num_averages = sizes * (sizes + 1) // 2
    # Of an even number, the second one in the middle is the same or close by.
    one = place((num_averages + 1) // 2, np.zeros(len(counts), dtype=np.int64), len(values))
    other = place(num_averages // 2 + 1, one, 1) if (num_averages % 2 == 0).any() else one
    return np.asarray((values[one] + values[other]) / 2)


def rank_biserial(differences: Floats, counts: Counts) -> Floats:
    """Matched-pairs rank-biserial correlations of the samples: (n,) and (m, n) to (m,), each in [-1, 1].

    (R+ - R-) / (R+ + R-) with the rank sums of the positive and the negative differences, ranked by size without the
    zeros; equal sizes share the mean of their ranks (Kerby 2014, Comprehensive Psychology 3). 0 for nothing but zeros.
    """
    present = differences != 0
    sizes, group = np.unique(np.abs(differences[present]), return_inverse=True)
    # Products of floats are much faster than those of integers, and as exact for whole numbers of this size.
    in_group = (group[:, None] == np.arange(len(sizes))).astype(float)
    number = counts[:, present].astype(float) @ in_group
    net = (counts[:, present] * np.sign(differences[present])) @ in_group
    ranks = number.cumsum(axis=1) - (number - 1) / 2
    return np.asarray((net * ranks).sum(axis=1) / np.maximum((number * ranks).sum(axis=1), 1))


_STATISTICS: dict[str, Callable[[Floats, Counts], Floats]] = {
    "mean_difference": mean_differences,
    "hodges_lehmann": hodges_lehmann,
    "rank_biserial": rank_biserial,
}


def _resamples(num_domains: int, num_resamples: int, seed: int) -> Counts:
    """(num_resamples, num_domains): how often each domain was drawn."""
    drawn = np.random.default_rng(seed).integers(0, num_domains, size=(num_resamples, num_domains))
    return np.stack([np.bincount(row, minlength=num_domains) for row in drawn])


def _tail(num_domains: int, confidence: float) -> float:
    """How much of the bootstrap distribution to cut off at either end."""
    t = stats.t.ppf((1 - confidence) / 2, num_domains - 1)
    return float(stats.norm.cdf(math.sqrt(num_domains / (num_domains - 1)) * t))
