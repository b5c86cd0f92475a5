"""Tune's median stopping rule, by the share of the budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import MedianStoppingRule, TrialScheduler

from bdw.evaluation import Measure
from sweeps.study.objective import SCORE


class MedianRule(MedianStoppingRule):  # type: ignore[misc]
    """Tune's rule on the share of the budget; no trial is stopped at the end of it, since it still writes its files.

    Trials of earlier starts of a sweep are not counted.
    """

    def __init__(self, measure: Measure, *, grace_period: float, min_samples_required: int) -> None:
        super().__init__(
            time_attr="budget_share",
            metric=SCORE,
            mode="max" if measure.higher_is_better else "min",
            grace_period=grace_period,
            min_samples_required=min_samples_required,
            min_time_slice=math.inf,  # It would pause trials to wait for others.
        )

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> str:
        """Stop or go on."""
        if not math.isfinite(result.get(SCORE, math.nan)):
            return str(TrialScheduler.CONTINUE)
        if result.get("budget_share", 0.0) >= 1 or trial.config["labels"].get("spared", False):
            self._results[trial].append(result)  # Others are compared with it all the same.
            return str(TrialScheduler.CONTINUE)
        return str(super().on_trial_result(tune_controller, trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> None:
        """Leave the closing report out: it repeats the last one, or has no score."""
