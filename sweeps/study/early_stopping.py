"""Asynchronous successive halving over shares of the budget, with the exceptions that a comparison needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from bdw.evaluation import Measure
from sweeps.study.objective import SCORE

REDUCTION_FACTOR = 2
"""One of this many trials goes on from rung to rung."""
RUNGS = (0.5, 0.75)
"""Shares of the budget at which trials are compared. Before a half of it a method that prunes has hardly begun to spend
on the kept images what it saved on the others."""


class BudgetHalving(FIFOScheduler):  # type: ignore[misc]
    """ASHA's stopping rule (Li et al. 2020, arXiv 1810.05934) on the share of the budget and the best score so far.

    At a rung a trial goes on if it is in the better half (the best of `reduction_factor`) of the trials that reached
    the rung so far, itself included; a trial that ties with the last of these goes on, too. Trials with the label
    `spared` are never stopped, so that a published grid is complete, and never ranked, so that they take no place. No
    trial is stopped at the end of its budget, since it still has to write its files. Tune starts afresh when a study
    continues, so `remember` adds the trials of earlier starts. `gains`: a column to rank by in the place of the score,
    the more the better.
    """

    def __init__(
        self,
        measure: Measure,
        *,
        reduction_factor: int = REDUCTION_FACTOR,
        rungs: Sequence[float] = RUNGS,
        gains: str | None = None,
    ) -> None:
        super().__init__()
        self._reduction_factor = reduction_factor
        self._column = gains or SCORE
        self._sign = 1 if gains or measure.higher_is_better else -1
        # Share -> trial -> score, the higher the better.
        self._rungs: dict[float, dict[str, float]] = {share: {} for share in rungs}

    def remember(self, trial_id: str, values: Iterable[tuple[float, float]]) -> None:
        """Rank newcomers against this finished trial too; `values` are its (share of the budget, best score so far)."""
        for share, value in values:
            self._is_promoted(trial_id, share, value)

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: Mapping[str, Any]) -> str:
        """Stop or go on; see the class."""
        share = result.get("budget_share", 0.0)
        if self._column not in result or share >= 1 or trial.config["labels"].get("spared", False):
            return str(TrialScheduler.CONTINUE)
        promoted = self._is_promoted(trial.trial_id, share, result[self._column])
        return str(TrialScheduler.CONTINUE if promoted else TrialScheduler.STOP)

    def _is_promoted(self, trial_id: str, share: float, value: float) -> bool:
        """Enter a measured trial at every rung that it has reached; returns whether it may go on."""
        if math.isnan(value):
            return True
        promoted = True
        score = self._sign * value
        for at, rung in self._rungs.items():
            if share >= at and trial_id not in rung:
                rung[trial_id] = score
                better = sum(other > score for other in rung.values())
                promoted = promoted and better < -(-len(rung) // self._reduction_factor)
        return promoted
