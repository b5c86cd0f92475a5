"""Friedman's test: do the methods differ at all?"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd
from scipy import stats

from analysis.errors import ConstantScoresError


def rank_domains(scores: pd.DataFrame, *, higher_is_better: bool) -> pd.DataFrame:
    """Rank the methods within each domain; rank 1 is the best, ties share the mean of their ranks.

    Args:
        scores: (num_domains, num_methods); gaps (NaN) stay gaps, and the others of their row are ranked among
            themselves.
        higher_is_better: which end of the scores gets rank 1.

    Returns:
        DataFrame of the same shape and labels; every row with k scores sums to k(k+1)/2.
    """
    return scores.rank(axis=1, method="average", ascending=not higher_is_better)


def friedman_statistic(ranks: pd.DataFrame) -> float:
    """Return Friedman's chi-square, corrected for ties.

    With rank sums S_j over N domains and single ranks r_ij of k methods,

        (k-1) sum_j (S_j - N(k+1)/2)^2 / (sum_ij r_ij^2 - N k (k+1)^2 / 4),

    which without ties is 12N/(k(k+1)) (sum_j R_j^2 - k(k+1)^2/4) of Demsar 2006, section 3.2.2 (Conover 1999, 5.8).

    Args:
        ranks: (num_domains, num_methods) as `rank_domains` returns them.

    Raises:
        ConstantScoresError: all methods tie on every domain.
    """
    values = ranks.to_numpy(dtype=float)
    num_domains, num_methods = values.shape
    spread = float((values**2).sum()) - num_domains * num_methods * (num_methods + 1) ** 2 / 4
    if spread <= 0:
        raise ConstantScoresError(
            f"scores: all {num_methods} methods tie on each of the {num_domains} domains; "
            "allowed: at least one domain on which two methods differ"
        )
    deviations = values.sum(axis=0) - num_domains * (num_methods + 1) / 2
    return float((num_methods - 1) * (deviations**2).sum() / spread)


def friedman_statistic_from_average_ranks(average_ranks: pd.Series[float], num_domains: int) -> float:
    """Return Friedman's chi-square from average ranks alone, as if no two methods tied on any domain.

    12N/(k(k+1)) (sum_j R_j^2 - k(k+1)^2/4): Demsar 2006, section 3.2.2. With ties the true statistic is larger, so this
    one is on the safe side.
    """
    k = len(average_ranks)
    squares = float(np.square(average_ranks.to_numpy(dtype=float)).sum())
    # Published ranks are rounded, which can put the difference a hair below zero when all methods are alike.
    return max(0.0, 12 * num_domains / (k * (k + 1)) * (squares - k * (k + 1) ** 2 / 4))


def friedman_p_value(statistic: float, num_methods: int) -> float:
    """Return the chance of such a statistic or a larger one if all methods were alike (chi-square, k-1 degrees)."""
    return float(stats.chi2.sf(statistic, num_methods - 1))


def iman_davenport_statistic(friedman_statistic: float, num_domains: int, num_methods: int) -> float:
    """Return Iman and Davenport's F = (N-1) chi^2 / (N(k-1) - chi^2), less conservative than Friedman's chi-square.

    Iman and Davenport 1980; Demsar 2006, section 3.2.2. It is infinite where all domains rank the methods alike: then
    chi^2 is N(k-1), as large as it can be.
    """
    rest = num_domains * (num_methods - 1) - friedman_statistic
    # Any disagreement, down to one swap of neighbours on one domain, leaves far more than rounding does.
    if rest <= 1e-12 * num_domains * (num_methods - 1):
        return math.inf
    return (num_domains - 1) * friedman_statistic / rest


def iman_davenport_p_value(statistic: float, average_ranks: pd.Series[float], num_domains: int) -> float:
    """Return the p-value of Iman and Davenport's F with k-1 and (k-1)(N-1) degrees of freedom.

    An infinite F would have the p-value 0, which no finite table justifies. In this case the exact p-value is known and
    returned: the chance that N-1 domains repeat the order of the first, (k! / prod t!)^-(N-1) for ties of t methods.
    """
    k = len(average_ranks)
    if math.isinf(statistic):
        ties = sum(math.lgamma(size + 1) for size in Counter(average_ranks.tolist()).values())
        return math.exp((ties - math.lgamma(k + 1)) * (num_domains - 1))
    return float(stats.f.sf(statistic, k - 1, (k - 1) * (num_domains - 1)))
