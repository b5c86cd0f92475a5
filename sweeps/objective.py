"""What a search optimises: the names that --objective accepts and how a trial's last report becomes its values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bdw.errors import unknown_option
from bdw.evaluation import Measure


@dataclass(frozen=True)
class Objective:
    """One number to optimise, or several to trade off."""

    metrics: tuple[str, ...]
    """Columns of the epoch reports."""
    directions: tuple[Literal["minimize", "maximize"], ...]
    """`maximize` or `minimize`, one per metric."""

    @property
    def is_single(self) -> bool:
        """Whether trials can be compared by one number, which early stopping needs."""
        return len(self.metrics) == 1

    def values(self, report: Mapping[str, Any]) -> tuple[float, ...]:
        """The trial's values; NaN for what the report lacks."""
        return tuple(float(report.get(metric, math.nan)) for metric in self.metrics)


SCORE = "best_validation_score"
OBJECTIVES = {
    "accuracy": Objective((SCORE,), ("maximize",)),
    "accuracy-seconds": Objective((SCORE, "wall_seconds"), ("maximize", "minimize")),
    "accuracy-instances": Objective((SCORE, "instances_seen"), ("maximize", "minimize")),
}


def score_alone(measure: Measure) -> Objective:
    """The best validation score, in the measure's own direction."""
    return Objective((SCORE,), ("maximize" if measure.higher_is_better else "minimize",))


def objective(name: str) -> Objective:
    """The objective of that name. Raises `InputError` for an unknown one."""
    if name not in OBJECTIVES:
        raise unknown_option("objective", name, OBJECTIVES)
    return OBJECTIVES[name]
