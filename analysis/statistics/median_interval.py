"""A median with an interval that holds for any distribution; some of the values may be infinite."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.errors import NotFiniteError, OptionError
from analysis.options import require_share


class MedianInterval(NamedTuple):
    """The median of values and an interval for the median of what they were drawn from."""

    median: float
    """Infinite where at least half of the values are."""
    low: float | None
    """None where so few values allow no interval at this confidence: up to 5 at 95 %."""
    high: float | None
    """May be infinite."""


def median_interval(values: npt.ArrayLike, *, confidence: float = 0.95) -> MedianInterval:
    """Return the median and its interval between two order statistics.

    The number of values below the true median is binomial with chance 1/2, so that an interval from the k-th smallest
    to the k-th largest value covers it with a known chance (Conover 1999, section 3.2). The interval is the narrowest
    symmetric one that covers it with at least `confidence`; for 10 values and 95 % it reaches from the second to the
    ninth, which covers it with 97.9 %.

    Args:
        values: (n,), n at least 1; infinite values are allowed and count as the largest.
        confidence: the least chance of covering the true median, between 0 and 1.

    Raises:
        OptionError: no values, not one column of them, or a confidence out of range.
        NotFiniteError: a value is not a number.
    """
    require_share("confidence", confidence)
    ordered = np.sort(np.asarray(values, dtype=float))
    if ordered.ndim != 1 or len(ordered) == 0:
        raise OptionError(f"values: shape {ordered.shape}; allowed: one column of at least one number")
    if np.isnan(ordered).any():
        raise NotFiniteError("values: not a number; allowed: numbers, infinite ones included")
    count = len(ordered)
    median = float((ordered[(count - 1) // 2] + ordered[count // 2]) / 2)
    # The largest k for which fewer than k values below the median have a chance of less than half the rest.
    place = int(stats.binom.ppf((1 - confidence) / 2, count, 0.5))
    if place == 0:
        return MedianInterval(median, None, None)
    return MedianInterval(median, float(ordered[place - 1]), float(ordered[count - place]))
