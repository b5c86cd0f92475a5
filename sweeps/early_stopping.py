"""Asynchronous successive halving over our own epochs, with the exceptions that a comparison needs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from bdw.evaluation import Measure
from sweeps.objective import SCORE

REDUCTION_FACTOR = 3
"""One of so many goes on from rung to rung, and rungs are so many times as far apart: Hyperband's choice."""


class EpochHalving(FIFOScheduler):  # type: ignore[misc]
    """ASHA's stopping rule (Li et al. 2020, arXiv 1810.05934) on the epoch and the best validation score so far.

    At a rung a trial goes on if it is in the best third of those that came there before it and itself. Unlike in Ray's
    scheduler a tie goes to who came first: validation splits are small, many trials share a score, and one that is no
    better than what is there already is not worth its epochs. Trials whose labels say `spared` are ranked but never
    stopped, so that a published grid is complete. No trial is stopped at its last epoch, since it still has its files
    to write. And it can be told of earlier segments' trials, because Tune is started afresh when a study continues.
    """

    def __init__(self, last_epoch: int, measure: Measure) -> None:
        super().__init__()
        self._last_epoch = last_epoch
        self._sign = 1 if measure.higher_is_better else -1
        first_rung = max(1, last_epoch // 4)  # After less, scores say little.
        epochs = (first_rung * REDUCTION_FACTOR**number for number in itertools.count())
        # Epoch -> trial -> score, the higher the better.
        self._rungs: dict[int, dict[str, float]] = {
            epoch: {} for epoch in itertools.takewhile(lambda epoch: epoch < last_epoch, epochs)
        }

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs after which trials are compared."""
        return tuple(self._rungs)

    def remember(self, trial_id: str, values: Iterable[tuple[int, float]]) -> None:
        """Rank newcomers against this finished trial too; `values` are its (epoch, best score so far)."""
        for epoch, value in values:
            self._is_promoted(trial_id, epoch, value)

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: Mapping[str, Any]) -> str:
        """Stop or go on; see the class."""
        if SCORE not in result:
            return str(TrialScheduler.CONTINUE)
        promoted = self._is_promoted(trial.trial_id, result["epoch"], result[SCORE])
        spared = trial.config["labels"].get("spared", False)
        may_go_on = promoted or spared or result["epoch"] >= self._last_epoch
        return str(TrialScheduler.CONTINUE if may_go_on else TrialScheduler.STOP)

    def _is_promoted(self, trial_id: str, epoch: int, value: float) -> bool:
        """Enter the trial at that epoch's rung, if there is one and the trial has been measured by then."""
        rung = self._rungs.get(epoch)
        if rung is None or trial_id in rung or math.isnan(value):
            return True
        score = self._sign * value
        no_worse = sum(other >= score for other in rung.values())
        rung[trial_id] = score
        return no_worse < max(1, len(rung) // REDUCTION_FACTOR)
