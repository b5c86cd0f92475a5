"""What a sweep's trials cost, those included that failed or were stopped: hours of what they reserved, images seen."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bdw.report.table_files import column


@dataclass(frozen=True)
class SweepCost:
    """Sums over trials, of what they recorded; a trial that was killed before its first epoch recorded nothing."""

    trials: int
    cpu_hours: float
    """NaN if the trials do not record what they reserved."""
    gpu_hours: float
    """Fractions of a GPU count as such."""
    instances: float
    """Source images seen, each as often as it was seen."""
    target_instances: float

    @classmethod
    def of(cls, trials: pd.DataFrame) -> SweepCost:
        """The cost of the rows of trials.csv."""
        hours = column(trials, "wall_seconds") / 3600
        return cls(
            trials=len(trials),
            cpu_hours=float((hours * column(trials, "cpus")).sum(min_count=1)),
            gpu_hours=float((hours * column(trials, "gpus")).sum(min_count=1)),
            instances=float(column(trials, "instances_seen").sum()),
            target_instances=float(column(trials, "target_instances_seen").sum()),
        )

    def __str__(self) -> str:
        """One line."""
        hours = f"{self.gpu_hours:.2f} GPU-hours, " if self.gpu_hours > 0 else ""
        hours += f"{self.cpu_hours:.2f} CPU-hours, " if self.cpu_hours > 0 else ""
        seen = f"{self.instances:,.0f} source images and {self.target_instances:,.0f} target images seen"
        return f"cost of {self.trials} trials: {hours}{seen}"
