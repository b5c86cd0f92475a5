"""Hyper-volume of a set of points: how much of the plane of value and cost they dominate, in one number."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.errors import NotFiniteError, OptionError, shown

Floats = npt.NDArray[np.float64]


class ReferencePoint(NamedTuple):
    """The worst corner of the area that is measured: points worse or dearer than it count for nothing."""

    cost: float
    value: float


def worst_corner(value: pd.Series[float], cost: pd.Series[float], *, higher_is_better: bool) -> ReferencePoint:
    """Return the highest cost and the worst value that occur, the default reference point.

    It moves with the points: hyper-volumes of different sets are only comparable with one reference point for all.
    """
    worst = value.min() if higher_is_better else value.max()
    return ReferencePoint(float(cost.max()), float(worst))


def hypervolume(
    value: pd.Series[float], cost: pd.Series[float], *, higher_is_better: bool, reference: tuple[float, float]
) -> float:
    """Return the area between the Pareto front and the reference point, exactly.

    A larger area is a better front. Any point in it is beaten by a measured one in both value and cost (Zitzler and
    Thiele 1998, there "size of the dominated space").

    Args:
        value: (n,), finite.
        cost: (n,), finite, lower is better.
        higher_is_better: direction of `value`.
        reference: cost and value of the worst corner.

    Returns:
        the area in units of value times cost; 0 if no point is better and cheaper than the reference.

    Raises:
        OptionError: a reference that is not two finite numbers.
        NotFiniteError: a value or a cost that is not finite.
    """
    corner = require_reference(reference)
    steps = dominated_steps(value, cost, higher_is_better=higher_is_better, reference=corner)
    return float(math.fsum((end - start) * abs(height - corner.value) for start, end, height in steps.tolist()))


def dominated_steps(
    value: pd.Series[float], cost: pd.Series[float], *, higher_is_better: bool, reference: ReferencePoint
) -> Floats:
    """Return the dominated area as upright strips that do not overlap.

    Args:
        value, cost, higher_is_better: as for `hypervolume`.
        reference: the worst corner.

    Returns:
        (m, 3): from which cost, to which cost, the best value up to there; from cheap to dear, m = 0 for no area.
    """
    values, costs = value.to_numpy(dtype=float), cost.to_numpy(dtype=float)
    if not (np.isfinite(values).all() and np.isfinite(costs).all()):
        raise NotFiniteError("points: infinite or not a number; allowed: finite values and costs")
    sign = 1 if higher_is_better else -1
    counts = (costs < reference.cost) & (sign * values > sign * reference.value)
    order = np.argsort(costs[counts], kind="stable")
    starts = costs[counts][order]
    best = sign * np.maximum.accumulate(sign * values[counts][order])
    ends = np.append(starts[1:], reference.cost)[: len(starts)]
    steps = np.column_stack([starts, ends, best])
    return steps[ends > starts]


def require_reference(reference: tuple[float, float]) -> ReferencePoint:
    """Return it as a `ReferencePoint`.

    Raises:
        OptionError: it is not two finite numbers.
    """
    try:
        cost, value = (float(part) for part in reference)
    except (TypeError, ValueError):
        cost = value = math.nan
    if not (math.isfinite(cost) and math.isfinite(value)):
        raise OptionError(f"reference: {shown(reference)}; allowed: a cost and a value, both finite numbers")
    return ReferencePoint(cost, value)
