"""What counts as a score."""

from __future__ import annotations

import math

import numpy as np

LARGEST = 1e304
"""The largest score: sums and differences of a thousand such scores are still finite."""


def number_in(value: object) -> float | None:
    """Return a score as a float, infinite if it is larger than `LARGEST`; None for what is no number.

    Truth values, complex numbers and spans of time are no scores, although NumPy calls them numbers.
    """
    if isinstance(value, (bool, np.bool_, np.timedelta64)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        return None
    try:
        with np.errstate(over="ignore"):
            number = float(value)
    except OverflowError:
        return math.inf
    return number if math.isnan(number) or abs(number) <= LARGEST else math.copysign(math.inf, number)
