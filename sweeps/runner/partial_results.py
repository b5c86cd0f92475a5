"""A sweep's table and page while it runs, and after it was broken off."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from bdw.errors import InputError

SECONDS_BETWEEN = 30.0
"""Between two versions of the files; writing them takes a part of a second of the driver's time."""

logger = logging.getLogger(__name__)


class PartialResults(tune.Callback):  # type: ignore[misc]
    """Has the files written when trials have ended, no more often than every `SECONDS_BETWEEN`.

    `write` makes the files from what the study holds. What it cannot write is logged and does not end the sweep.
    """

    def __init__(self, write: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._last = clock()
        self._is_due = False

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial has ended or was stopped."""
        self._is_due = True

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called by Tune when a trial has failed for good."""
        self._is_due = True

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called by Tune several times a second."""
        if self._is_due and self._clock() - self._last >= SECONDS_BETWEEN:
            self.write_due()

    def write_due(self) -> None:
        """Write what has changed since the last time, also where the sweep is being broken off."""
        if not self._is_due:
            return
        self._is_due = False
        try:
            self._write()
        except (InputError, OSError) as error:
            logger.warning("the sweep's table and page cannot be written yet: %s", error)
        self._last = self._clock()

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks for a restore that has no use here.
        return {}
