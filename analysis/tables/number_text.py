"""Numbers as texts of tables: as many decimals as say something, and the best of a group."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from analysis.rounding import ROUNDING

_MOST_DECIMALS = 6


def number_text(value: float, decimals: int) -> str:
    """Return a number with a true minus sign, thousands set apart, and no "-0.0".

    Powers of ten are written where the digits would be too many, or all zeros in spite of `_MOST_DECIMALS`.
    """
    size = abs(value)
    if size >= 1e12 or (decimals >= _MOST_DECIMALS and 0 < size < 1e-4):
        text = f"{size:.3e}".replace("e-", "e−")
    else:
        text = f"{size:,.{decimals}f}"
    return f"−{text}" if value < 0 and any(digit in text for digit in "123456789") else text


def sensible_decimals(means: Iterable[float], deviations: Iterable[float]) -> int:
    """Return how many decimals (0 to 6) show two digits of the typical deviation.

    Where no deviation is known or all are 0, those that show four digits of the largest mean.
    """
    spreads = [deviation for deviation in deviations if deviation > 0]
    if spreads:
        wanted = 1 - math.floor(math.log10(float(np.median(spreads))))
    else:
        largest = max((abs(mean) for mean in means), default=0.0)
        wanted = 3 - math.floor(math.log10(largest)) if largest > 0 else 0
    return min(max(wanted, 0), _MOST_DECIMALS)


def are_best(values: Iterable[float], *, higher_is_better: bool) -> list[bool]:
    """Return for each value whether none is better. NaN never is the best; values equal but for rounding all are."""
    numbers = list(values)
    present = [value for value in numbers if not math.isnan(value)]
    if not present:
        return [False] * len(numbers)
    best = max(present) if higher_is_better else min(present)
    return [not math.isnan(value) and math.isclose(value, best, rel_tol=ROUNDING, abs_tol=0) for value in numbers]
