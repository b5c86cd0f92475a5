"""Holm's step-down adjustment: many tests at once, with no higher risk of a false finding than a single test has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.errors import OptionError, shown


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjust p-values for their number (Holm 1979); compare the result with alpha itself.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none may fall below the one before it, none
    exceeds 1. The chance of any false rejection stays below alpha, however the tests depend on each other.

    Args:
        p_values: (m,), in [0, 1], any order.

    Returns:
        (m,) adjusted p-values in the same order.

    Raises:
        OptionError: another shape, or a value outside [0, 1].
    """
    values = np.asarray(p_values, dtype=float)
    if values.ndim != 1:
        raise OptionError(f"p_values: {values.ndim} dimensions; allowed: 1")
    outside = values[~((values >= 0) & (values <= 1))]
    if len(outside) > 0:
        raise OptionError(f"p_values: {shown(outside[0])}; allowed: 0 to 1")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
