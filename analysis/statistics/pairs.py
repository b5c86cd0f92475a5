"""Pairs of methods, and how far apart the two are on every domain."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.errors import OptionError, listing, shown
from analysis.statistics import friedman

Floats = npt.NDArray[np.float64]


def ranked_pairs(table: pd.DataFrame, *, higher_is_better: bool) -> list[tuple[str, str]]:
    """Return all pairs of methods, in each the one with the better average rank first.

    Args:
        table: (num_domains, num_methods) as `score_table` returns it.
        higher_is_better: direction of the scores.

    Returns:
        k(k-1)/2 pairs in the order of average ranks, best first, by name where ranks tie: the order of a `Comparison`.
    """
    ranks = friedman.rank_domains(table, higher_is_better=higher_is_better).sum(axis=0)
    return list(combinations(sorted(table.columns, key=lambda method: (ranks[method], method)), 2))


def require_pair(table: pd.DataFrame, first: str, second: str) -> None:
    """Raise OptionError unless these are two different methods of the table."""
    for field, method in (("first", first), ("second", second)):
        if method not in table.columns:
            raise OptionError(f"{field}: {shown(method)} is not a method; allowed: {listing(table.columns)}")
    if first == second:
        raise OptionError(f"second: {shown(second)} is the first method, too; allowed: another one")


def advantages(table: pd.DataFrame, first: str, second: str, *, higher_is_better: bool) -> Floats:
    """Return by how much the first method is better than the second on every domain.

    As floating-point numbers 0.71 - 0.70 and 0.81 - 0.80 are not equal. So differences are rounded, to 12 digits behind
    the first one of the table's largest score: those that tie on paper tie here.

    Args:
        table: (num_domains, num_methods) as `score_table` returns it.
        first: a method of the table.
        second: another one.
        higher_is_better: direction of the scores.

    Returns:
        (num_domains,) in the unit of the scores, positive where the first is better.
    """
    gains = (table[first] - table[second]).to_numpy(dtype=float)
    return rounded(gains if higher_is_better else -gains, meaningful_decimals(table))


def meaningful_decimals(table: pd.DataFrame) -> int:
    """Return how many decimals of sums and differences of these scores are more than rounding errors."""
    largest = float(np.abs(table.to_numpy(dtype=float)).max())
    return 12 - math.floor(math.log10(largest)) if largest > 0 else 0


def rounded(values: Floats, decimals: int) -> Floats:
    """Round to any number of decimals; powers of ten that are no floats are taken in two steps."""
    first = min(300, decimals)
    scaled = values * 10.0 ** (decimals - first)
    return np.asarray(np.round(scaled, first) / 10.0 ** (decimals - first))
