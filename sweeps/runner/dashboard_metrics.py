"""A sweep's figures among Ray's own metrics, which its dashboard, Prometheus and Grafana read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.util.metrics import Gauge

from sweeps.runner.progress import SweepProgress

SECONDS_BETWEEN = 5.0
"""Ray exports every ten seconds."""
TRIALS, BEST, SPEED = "bdw_sweep_trials", "bdw_sweep_best_score", "bdw_sweep_images_per_second"
"""Names of the gauges; Ray puts `ray_` before them."""


class DashboardMetrics(tune.Callback):  # type: ignore[misc]
    """Sets the gauges from what the progress knows; does nothing where no Ray is connected.

    `TRIALS` has a label `state`, `BEST` a label `measure`, all have `sweep` and `stage`. At the end of a stage nothing
    runs, so its speed is 0.

    Args:
        progress: Hears of the same trials.
        sweep: Name of the sweep.
        stage: What its trials are for.
        measure: Name of the measure that scores are of.
    """

    def __init__(
        self,
        progress: SweepProgress,
        *,
        sweep: str,
        stage: str,
        measure: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._labels = {"sweep": sweep, "stage": stage}
        self._measure = measure
        self._clock = clock
        self._last = -math.inf
        self._gauges: dict[str, Any] = {}

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called by Tune several times a second."""
        if self._clock() - self._last >= SECONDS_BETWEEN:
            self._set()

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Called by Tune after the last trial."""
        self._set()

    def _set(self) -> None:
        self._last = self._clock()
        if not ray.is_initialized():
            return
        if not self._gauges:
            own = tuple(self._labels)
            self._gauges = {
                TRIALS: Gauge(TRIALS, "Trials of a sweep's stage, by state.", (*own, "state")),
                BEST: Gauge(BEST, "Best validation score of a sweep's stage so far.", (*own, "measure")),
                SPEED: Gauge(SPEED, "Source images a second, over all running trials.", own),
            }
        for state, number in self._progress.counts.items():
            self._gauges[TRIALS].set(number, {**self._labels, "state": state})
        if math.isfinite(self._progress.best):
            self._gauges[BEST].set(self._progress.best, {**self._labels, "measure": self._measure})
        self._gauges[SPEED].set(self._progress.images_per_second, self._labels)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks for a restore that has no use here.
        return {}
