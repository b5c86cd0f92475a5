"""Scores that are equal but for rounding errors must tie: 0.1 + 0.2 is no better than 0.3."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

ROUNDING = 2.0**-48
"""Two scores count as equal if they differ by at most this share of their size: the rounding error of sums over a few
seeds, 16 units in the last place. Float32 scores differ by far more and are told apart."""


def mean_of(values: Sequence[float]) -> float:
    """Return the mean of finite numbers, rounded once, so that their order does not matter; NaN if there are none."""
    if not values:
        return math.nan
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def tie_what_is_equal(table: pd.DataFrame) -> pd.DataFrame:
    """Give scores of a domain that are equal but for rounding errors the same value, the lowest of them.

    Args:
        table: (num_domains, num_methods) finite floats, NaN where a score is missing.

    Returns:
        DataFrame of the same shape and labels. Scores that differ by more than `ROUNDING` keep their order.
    """
    values = table.to_numpy(dtype=float)
    order = np.argsort(values, axis=1, kind="stable")
    ascending = np.take_along_axis(values, order, axis=1)
    sizes = np.abs(ascending)
    with np.errstate(over="ignore"):
        is_new = np.diff(ascending, axis=1) > ROUNDING * np.maximum(sizes[:, 1:], sizes[:, :-1])
    places = np.arange(values.shape[1])
    firsts = np.maximum.accumulate(np.where(np.pad(is_new, ((0, 0), (1, 0))), places, 0), axis=1)
    tied = np.empty_like(values)
    np.put_along_axis(tied, order, np.take_along_axis(ascending, firsts, axis=1), axis=1)
    return pd.DataFrame(np.where(np.isnan(values), np.nan, tied), index=table.index, columns=table.columns)
