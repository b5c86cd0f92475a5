"""Nemenyi's post-hoc test: which pairs of methods differ, by one critical difference for all pairs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from analysis.errors import OptionError, shown

LEVELS = (1e-10, 0.999)
"""Beyond these the quantile of the studentised range is inaccurate, or 0."""


def critical_difference(num_methods: int, num_domains: int, alpha: float = 0.05) -> float:
    """Return the critical difference of average ranks.

    CD = q_alpha sqrt(k(k+1)/(6N)), with q_alpha the upper quantile of the studentised range for k groups and infinitely
    many degrees of freedom, divided by sqrt(2) (Demsar 2006, equation in section 3.2.2; his Table 5 lists q_alpha).

    Raises:
        OptionError: a level so close to 0 or 1 that the quantile is lost in rounding.
    """
    if not LEVELS[0] <= alpha <= LEVELS[1]:
        raise OptionError(
            f"alpha: {shown(alpha)}; allowed: {LEVELS[0]:g} to {LEVELS[1]:g}, for which the studentised range is known"
        )
    quantile = float(stats.studentized_range.ppf(1 - alpha, num_methods, np.inf)) / math.sqrt(2)
    return quantile * rank_standard_error(num_methods, num_domains)


def pairwise_p_values(average_ranks: pd.Series[float], num_domains: int) -> pd.DataFrame:
    """Return Nemenyi's p-value of every pair of methods.

    Args:
        average_ranks: (k,), index = methods.
        num_domains: N, over how many domains they are averages.

    Returns:
        symmetric DataFrame (k, k), rows and columns in the order of `average_ranks`, ones on the diagonal. A pair's
        p-value is below alpha exactly where its ranks are further apart than the critical difference at alpha.
    """
    ranks = average_ranks.to_numpy(dtype=float)
    k = len(ranks)
    distances = np.abs(ranks[:, None] - ranks[None, :]) / rank_standard_error(k, num_domains) * math.sqrt(2)
    # Each p-value is a numerical integral, and average ranks are multiples of 1/(2N): most distances repeat.
    unique, where = np.unique(distances, return_inverse=True)
    tails = np.clip(stats.studentized_range.sf(unique, k, np.inf), 0.0, 1.0)
    tails[unique == 0] = 1.0
    return pd.DataFrame(tails[where].reshape(k, k), index=average_ranks.index, columns=average_ranks.index)


def cliques(average_ranks: pd.Series[float], critical_difference: float) -> tuple[tuple[str, ...], ...]:
    """Return the groups within which no difference was shown.

    One critical difference serves all pairs, so the groups are the maximal intervals of the sorted ranks that are
    shorter than it (Demsar 2006, section 3.2.4; two methods differ if their ranks are *at least* CD apart).

    Args:
        average_ranks: (k,), index = methods, any order.
        critical_difference: in ranks.

    Returns:
        groups of two or more methods, best first, methods in rank order (by name where ranks tie). A method that
        differs from all others is in none.
    """
    ordered = sorted(((float(rank), str(method)) for method, rank in average_ranks.items()))
    found: list[tuple[str, ...]] = []
    last_end = 0
    end = 0
    for start, (rank, _) in enumerate(ordered):
        while end < len(ordered) and ordered[end][0] - rank < critical_difference:
            end += 1
        # An interval that ends where the one before it ended lies inside it.
        if end > last_end and end - start >= 2:
            found.append(tuple(method for _, method in ordered[start:end]))
        last_end = max(last_end, end)
    return tuple(found)


def rank_standard_error(num_methods: int, num_domains: int) -> float:
    """Return the standard error sqrt(k(k+1)/(6N)) of the difference of two average ranks without ties."""
    return math.sqrt(num_methods * (num_methods + 1) / (6 * num_domains))
