"""What a search hands over in Python, in the words of Ray Tune's and Optuna's users."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from ray.tune import Checkpoint, Result

from bdw.errors import InputError, RunError, unknown_option
from sweeps.study.tables import STATES, measurement, was_started
from sweeps.tuning.findings import chosen, front, objective_names, optimised, rows_of
from sweeps.tuning.goals import MEAN_RANK
from sweeps.tuning.own_search import OwnSearch

MEASURED = ("epoch", "wall_seconds", "instances_seen", "target_instances_seen", "kept_fraction")


class ResultGrid:
    """The trials of a search, as `ray.tune.ResultGrid` has them, but from the study, with those of earlier starts.

    `len`, iteration and indexing give a `ray.tune.Result` a trial. Its `config` has the searched fields, its `metrics`
    the objectives by name, `state`, the validation score by the measure's name, `test_<measure>`, and what it cost;
    `path` is the directory of its (first) run, which holds the encoder and the weights, and `error` says why it failed.
    """

    def __init__(self, search: OwnSearch, study: optuna.Study) -> None:
        self._search = search
        self.study = study
        """The Optuna study."""
        trials = study.get_trials(deepcopy=False, states=tuple(STATES))
        self._trials = [trial for trial in trials if was_started(trial)]
        values = optimised(search, study)
        self._results = [self._result(trial, values.get(trial.number, [])) for trial in self._trials]

    def __len__(self) -> int:
        return len(self._results)

    def __getitem__(self, index: int) -> Result:
        return self._results[index]

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    @property
    def num_errors(self) -> int:
        """Trials that failed."""
        return sum(result.error is not None for result in self._results)

    @property
    def num_terminated(self) -> int:
        """Trials that are complete, or were stopped early."""
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        return sum(trial.state in ended for trial in self._trials)

    @property
    def errors(self) -> list[Exception]:
        """Why trials failed."""
        return [result.error for result in self._results if result.error is not None]

    @property
    def experiment_path(self) -> str:
        """The sweep's directory on this machine, with its tables and its page."""
        return str(self._search.paths.path)

    def get_best_result(self, metric: str | None = None, mode: Literal["max", "min"] | None = None) -> Result:
        """The complete trial that is best by a metric, by default by the objective; with several objectives the one of
        the front that is nearest to the best of each.

        `mode` may be left out for an objective. Raises `InputError` for an unknown metric or one without a mode, and if
        no trial is complete.
        """
        complete = [i for i, trial in enumerate(self._trials) if trial.state == TrialState.COMPLETE]
        if not complete:
            raise InputError("get_best_result: no trial is complete")
        if metric is None and mode is None:
            best = chosen(self._search, self.study)
            return next(r for t, r in zip(self._trials, self._results, strict=True) if best and t.number == best.number)
        modes = self._modes()
        metric = metric or next(iter(modes))
        known = {name for i in complete for name, value in self._results[i].metrics.items() if _is_number(value)}
        if metric not in known:
            raise unknown_option("metric", metric, known)
        mode = mode or modes.get(metric)
        if mode not in ("max", "min"):
            raise InputError(f"mode: {mode!r} cannot work with metric {metric!r}; allowed: 'max' or 'min'")
        sign = 1 if mode == "max" else -1
        found = [(sign * self._results[i].metrics.get(metric, math.nan), -i) for i in complete]
        finite = [pair for pair in found if math.isfinite(pair[0])]
        if not finite:
            raise InputError(f"get_best_result: no complete trial has a finite {metric!r}")
        return self._results[-max(finite)[1]]

    def get_best_results(self) -> list[Result]:
        """The front: the complete trials that no other one beats in all objectives, the best in the first one first."""
        by_number = {trial.number: result for trial, result in zip(self._trials, self._results, strict=True)}
        return [by_number[trial.number] for trial in front(self._search, self.study)]

    def get_dataframe(self) -> pd.DataFrame:
        """A row per trial: state, searched fields, objectives, costs, run and the reason of a failure (trials.csv)."""
        return pd.DataFrame(rows_of(self._search, self.study))

    def _modes(self) -> dict[str, Literal["max", "min"]]:
        directions = self._search.objective.directions
        named = zip(objective_names(self._search), directions, strict=True)
        return {n: "min" if n == MEAN_RANK or direction == "minimize" else "max" for n, direction in named}

    def _result(self, trial: FrozenTrial, values: list[float]) -> Result:
        attributes, measure = trial.user_attrs, self._search.measure.name
        searched = [p for p in self._search.space.parameters if p.field.key in trial.params]
        config = {p.field.path: p.value(trial.params[p.field.key]) for p in searched}
        metrics: dict[str, Any] = {"trial_id": str(trial.number), "state": STATES[trial.state]}
        metrics |= {name: attributes[name] for name in MEASURED if name in attributes}
        if "best_validation_score" in attributes:
            metrics[measure] = attributes["best_validation_score"]
        if trial.state == TrialState.COMPLETE:
            metrics[f"test_{measure}"] = measurement(trial, measure)
            metrics |= dict(zip(objective_names(self._search), values, strict=True))
        metrics["config"] = config
        path = Path(self._search.paths.run_dir(attributes["run"])).expanduser() if "run" in attributes else None
        return Result(
            metrics=metrics,
            checkpoint=None if path is None or not path.is_dir() else Checkpoint.from_directory(path),
            error=RunError(str(attributes.get("reason", "unknown"))) if trial.state == TrialState.FAIL else None,
            path="" if path is None else str(path),
        )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
