"""The objectives of a search: the names that --objective accepts, and a trial's values from its last report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bdw.errors import unknown_option
from bdw.evaluation import Measure

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Objective:
    """One number to optimise, or several to trade off."""

    metrics: tuple[str, ...]
    """Columns of the epoch reports."""
    directions: tuple[Direction, ...]
    """`maximize` or `minimize`, one per metric."""

    @property
    def is_single(self) -> bool:
        """Whether one number ranks trials, as early stopping needs."""
        return len(self.metrics) == 1

    def values(self, report: Mapping[str, Any]) -> tuple[float, ...]:
        """The trial's values; NaN for what the report lacks."""
        return tuple(float(report.get(metric, math.nan)) for metric in self.metrics)


SCORE = "best_validation_score"
COSTS: dict[str, tuple[str, ...]] = {
    "accuracy": (),
    "accuracy-seconds": ("wall_seconds",),
    "accuracy-instances": ("instances_seen",),
}
"""Name of an objective -> the columns that are traded off against the best validation score."""


def score_alone(measure: Measure) -> Objective:
    """The best validation score, in the measure's own direction."""
    return objective("accuracy", measure)


def objective(name: str, measure: Measure) -> Objective:
    """The objective of that name, its score in the measure's own direction. Raises `InputError` for an unknown one."""
    require_known(name)
    costs = COSTS[name]
    down: Direction = "minimize"
    best: Direction = "maximize" if measure.higher_is_better else down
    return Objective((SCORE, *costs), (best, *(down for _ in costs)))


def require_known(name: str) -> None:
    """Raise `InputError` for what is no objective's name."""
    if name not in COSTS:
        raise unknown_option("objective", name, COSTS)
