"""When a sweep starts no more trials: hours, GPU-hours or failures are used up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweeps.study.tables import was_started


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a sweep may use; None for no limit. Trials that run when a limit is met are finished, none is started."""

    hours: float | None = None
    """Hours since this start of the sweep."""
    gpu_hours: float | None = None
    """GPUs that trials reserve times their hours, those of earlier starts included."""
    failures: int | None = None
    """Trials that may fail in this start; with one more it ends."""
    clock: Callable[[], float] = time.monotonic
    began: float = field(default_factory=time.monotonic)

    def met(self, study: optuna.Study, failed_before: int = 0) -> str | None:
        """Which limit is met, as the option and in words; None if none is.

        `failed_before`: trials of the study that had failed when this start began.
        """
        if self.hours is not None and self.clock() - self.began >= 3600 * self.hours:
            return f"--max-hours: {self.hours:g} hours are used up"
        if self.gpu_hours is not None:
            used = gpu_hours(study.get_trials(deepcopy=False), datetime.now())
            if used >= self.gpu_hours:
                return f"--max-gpu-hours: {used:.2f} of {self.gpu_hours:g} GPU-hours are used up"
        if self.failures is not None:
            failed = num_failed(study) - failed_before
            if failed > self.failures:
                return f"--max-failures: {failed} trials failed, {self.failures} may"
        return None


def gpu_hours(trials: Sequence[FrozenTrial], now: datetime) -> float:
    """GPUs that the trials reserved times their hours: as they recorded, or up to `now` for those that run."""
    return sum(float(trial.user_attrs.get("gpus", 0.0)) * _seconds(trial, now) for trial in trials) / 3600


def num_failed(study: optuna.Study) -> int:
    """Trials that were started and failed."""
    return sum(map(was_started, study.get_trials(deepcopy=False, states=(TrialState.FAIL,))))


def _seconds(trial: FrozenTrial, now: datetime) -> float:
    if trial.state == TrialState.RUNNING and trial.datetime_start is not None:
        return max(0.0, (now - trial.datetime_start).total_seconds())
    return float(trial.user_attrs.get("wall_seconds", 0.0))
