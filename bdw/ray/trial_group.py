"""Several runs in turn as one Ray Tune trial: the same settings on several targets or with several seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ray import tune

from bdw import evaluation
from bdw.config import RunConfig
from bdw.ray.trial import Report, Row, TrialPlan, run_plan

SUMMED = (
    "epoch", "wall_seconds", "instances_seen", "target_instances_seen", "weighting_seconds", "saved_seconds",
)  # fmt: skip
"""Columns that count on from run to run."""
GAIN = "mean_gain"
SCORES = "run_scores"


def run_group(trial_config: dict[str, Any]) -> None:
    """A Tune trial. `trial_config["plans"]` holds the fields of a `TrialPlan` for every run.

    Optional `trial_config["reference"]` has a score for every run, in the same order, such as that of plain training.

    Reports as `run_trial` does, for the runs together: counts go on from run to run, `budget_share` is that of all
    runs, scores and shares are means over the runs that have begun. `run_scores` lists the best validation scores of
    the runs that have begun; `mean_gain` is the mean of what they gained over the reference, positive where the run is
    the better one. The closing row has the `results` of all runs and no `curve`. The first run that fails ends the
    trial.
    """
    plans = [TrialPlan(**plan) for plan in trial_config["plans"]]
    tune.report(run_in_turn(plans, tune.report, trial_config.get("reference")))


def run_in_turn(plans: Sequence[TrialPlan], report: Report, reference: Sequence[float] | None = None) -> Row:
    """Run the plans, hand out the rows of `run_group`, return the closing row."""
    higher = evaluation.measure(RunConfig.from_flat(plans[0].config).evaluation.measure).higher_is_better
    sign = 1.0 if higher else -1.0
    ended: list[Row] = []
    results: list[Row] = []
    for plan in plans:

        def hand_out(row: Row) -> None:
            # A row of a run that waits for machines has no epoch.
            report(together([*ended, row], len(plans), reference, sign) if "epoch" in row else row)

        closing = run_plan(plan, hand_out)
        results += closing.pop("results", [])
        closing.pop("curve", None)
        if "failure" not in closing and not math.isfinite(closing["best_validation_score"]):
            closing["failure"] = f"its score is {closing['best_validation_score']}"
        if "failure" in closing:
            which = f"{plan.config['target']}, seed {plan.config['seed']}"
            row = together([*ended, *([closing] if closing["epoch"] else [])], len(plans), reference, sign)
            return {**row, "failure": f"{closing['failure']} ({which})"}
        ended.append(closing)
    return {**together(ended, len(plans), reference, sign), "ended": True, "results": results}


def together(rows: Sequence[Row], num_runs: int, reference: Sequence[float] | None, sign: float) -> Row:
    """One row for the last rows of the runs that have begun, in order; those before the last one have ended."""
    if not rows:
        return {"epoch": 0, "best_validation_score": math.nan}
    last = rows[-1]
    scores = [float(row["best_validation_score"]) for row in rows]
    row: Row = {**last, "budget_share": (len(rows) - 1 + last["budget_share"]) / num_runs}
    row |= {name: sum(each[name] for each in rows) for name in SUMMED if name in last}
    means = [name for name in last if name.startswith("best_epoch_") or name == "kept_fraction"]
    row |= {name: _mean([each[name] for each in rows]) for name in ("best_validation_score", *means)}
    row[SCORES] = scores
    if reference is not None:
        gains = [sign * (score - own) for score, own in zip(scores, reference, strict=False)]
        row[GAIN] = _mean(gains)
    row.pop("ended", None)
    return row


def _mean(values: Sequence[float]) -> float:
    """Of the finite ones: a run has no score before its first evaluation."""
    finite = [value for value in values if math.isfinite(value)]
    return fmean(finite) if finite else math.nan
