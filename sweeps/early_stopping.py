"""Asynchronous successive halving over our own epochs, with the exceptions that a comparison needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from bdw.evaluation import Measure
from sweeps.objective import SCORE

REDUCTION_FACTOR = 2


@dataclass(frozen=True)
class _PastTrial:
    trial_id: str


class EpochHalving(ASHAScheduler):  # type: ignore[misc]
    """Ray's ASHA on `epoch` and the best validation score so far.

    It differs from Ray's in three points. Trials whose labels say `spared` are ranked but never stopped, so that a
    published grid is complete. No trial is stopped at its last epoch, since it still has its files to write. And it
    remembers the trials of earlier segments, because Tune is started afresh when a study continues.
    """

    def __init__(self, last_epoch: int, measure: Measure, *, grace_epochs: int | None = None) -> None:
        super().__init__(
            time_attr="epoch",
            metric=SCORE,
            mode="max" if measure.higher_is_better else "min",
            max_t=last_epoch + 1,  # Reaching max_t would be a stop as well.
            grace_period=grace_epochs or max(1, last_epoch // 4),
            reduction_factor=REDUCTION_FACTOR,
        )
        self._last_epoch = last_epoch

    def remember(self, trial_id: str, values: Iterable[tuple[int, float]]) -> None:
        """Rank newcomers against this finished trial too; `values` are its (epoch, best score so far)."""
        (bracket,) = self._brackets
        for epoch, value in sorted(values):
            bracket.on_result(_PastTrial(trial_id), epoch, value)

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: Mapping[str, Any]) -> str:
        """Stop or go on; see the class."""
        decision = super().on_trial_result(tune_controller, trial, result)
        spared = trial.config["labels"].get("spared", False)
        if spared or result.get("epoch", 0) >= self._last_epoch:
            return str(TrialScheduler.CONTINUE)
        return str(decision)
