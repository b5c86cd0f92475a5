"""Copies of a running sweep's own files to its storage, in batches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from sweeps.runner.paths import Paths

SECONDS_BETWEEN_COPIES = 30.0
"""What ends in between waits for the next copy: a sweep of a thousand short trials would send thousands of requests."""


class Publish(tune.Callback):  # type: ignore[misc]
    """Brings the study to the sweep's copy when trials have ended, so that losing this machine loses little.

    Only files that changed since their last copy are sent, and no more often than every `SECONDS_BETWEEN_COPIES`.
    """

    def __init__(self, paths: Paths, clock: Callable[[], float] = time.monotonic) -> None:
        self._paths = paths
        self._clock = clock
        self._last = -math.inf
        self._is_due = False
        self._sent: dict[str, tuple[int, int]] = {}

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial has ended or was stopped."""
        self._is_due = True

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial has failed for good."""
        self._is_due = True

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called by Tune several times a second."""
        if self._is_due and self._clock() - self._last >= SECONDS_BETWEEN_COPIES:
            self._publish()

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Called by Tune after the last trial."""
        if self._is_due:
            self._publish()

    def _publish(self) -> None:
        self._is_due = not self._paths.publish(sent=self._sent)
        self._last = self._clock()  # Behind the copy, which may take long.

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks for a restore that has no use here.
        return {}
