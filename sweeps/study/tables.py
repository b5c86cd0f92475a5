"""A sweep's tables, made from its studies: trials.csv, a row per trial; results.parquet, a row per measurement."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pyarrow.parquet as pq
from optuna.trial import FrozenTrial, TrialState

from bdw.runs.export import results_table
from bdw.storage.atomic_write import replacing, write_text

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}
# Column -> user attribute.
MEASURED = {
    "validation_score": "best_validation_score",
    "wall_seconds": "wall_seconds",
    "instances_seen": "instances_seen",
    "target_instances_seen": "target_instances_seen",
    "cpus": "cpus",
    "gpus": "gpus",
    "kept_fraction": "kept_fraction",
    "planted_auroc": "planted_auroc",
    "epoch": "epoch",
}
DUPLICATE_OF = "duplicate_of"
"""User attribute of a trial whose settings were drawn a second time, so that it was never started: the first one's
number."""
LABELS = ("method", "domain", "seed")


def was_started(trial: FrozenTrial) -> bool:
    """Whether anything of the trial was run: not if its settings were drawn twice, or it was withdrawn."""
    return DUPLICATE_OF not in trial.user_attrs and not was_withdrawn(trial)


def was_withdrawn(trial: FrozenTrial) -> bool:
    """Whether the trial was taken out of the queue before it was started."""
    return trial.state == TrialState.FAIL and trial.datetime_start is None


def run_path(run: str) -> str:
    """A run's directory, relative to the sweep's."""
    return f"runs/{run}"


def trial_rows(
    study: optuna.Study, measure: str, *, prefix: str = "", known: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """A row per trial that was started: state, method, parameters, measurements, and the reason if it failed.

    `measure` names what the scores are.
    `known` are the method, the domain and the seed of trials without labels of their own: those whose driver was
    killed between asking for the trial and labelling it.
    """
    rows = []
    for trial in study.get_trials(deepcopy=False, states=tuple(STATES)):
        if not was_started(trial):
            continue
        attributes = {**{name: value for name, value in (known or {}).items() if name in LABELS}, **trial.user_attrs}
        row = {
            "trial": f"{prefix}{trial.number}",
            "state": STATES[trial.state],
            "method": attributes.get("method", ""),
            "domain": attributes.get("domain", ""),
            "seed": attributes.get("seed"),
            **trial.params,
            **{column: attributes.get(name) for column, name in MEASURED.items()},
            "test_score": measurement(trial, measure),
            "measure": measure,
            "value": trial.values[0] if trial.state == TrialState.COMPLETE else None,
            "run": run_path(attributes["run"]) if "run" in attributes else "",
            "git_revision": attributes.get("git_revision"),
            "reason": attributes.get("reason"),
        }
        rows.append(row)
    return rows


def measurement(trial: FrozenTrial, metric: str) -> float:
    """A complete trial's measurement by the metric's name in results.parquet, the mean over its runs; NaN if it has
    none."""
    rows: Iterable[Mapping[str, Any]] = trial.user_attrs.get("results", ())
    values = [float(row["value"]) for row in rows if row["metric"] == metric]
    return statistics.fmean(values) if values else math.nan


def result_rows(trial: FrozenTrial) -> list[dict[str, Any]]:
    """A complete trial's rows of the long table, under the names that method and domain have in this sweep."""
    attributes = trial.user_attrs
    own = {"method": attributes["method"], "domain": attributes["domain"], "run": run_path(attributes["run"])}
    return [{**row, **own} for row in attributes.get("results", ())]


def write_trials(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """trials.csv; columns without a value stay, so that the file always has the same columns."""
    write_text(path, pd.DataFrame(list(rows)).to_csv(index=False))


def write_results(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """results.parquet, the long table of all methods, domains, seeds and metrics."""
    with replacing(path) as temporary:
        pq.write_table(results_table(rows), temporary)


def write_curves(path: Path, curves: pd.DataFrame) -> None:
    """curves.parquet, a row per evaluation of every compared run."""
    with replacing(path) as temporary:
        curves.to_parquet(temporary, index=False)
