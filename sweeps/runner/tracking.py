"""Trackers of every trial's epochs: TensorBoard's files, and on request Weights & Biases and MLflow."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.logger import TBXLoggerCallback
from ray.tune.result import AUTO_RESULT_KEYS

from bdw.runs.trackers import TENSORBOARD, is_installed
from sweeps.runner.paths import Paths

NO_TENSORBOARD = "no TensorBoard files: tensorboardX is not installed (`pip install tensorboardX`)"
SECONDS_BETWEEN_FLUSHES = 5.0
"""After so long what a trial reported is in TensorBoard's file."""
_TUNES_OWN = {*AUTO_RESULT_KEYS, "done", "trial_id", "experiment_tag", "should_checkpoint", "__duplicate__"}


def loggers(names: Sequence[str], paths: Paths) -> list[tune.Callback]:
    """Tune's callbacks for the trackers, and for TensorBoard wherever that can be had.

    TensorBoard's files lie below `ray/tune` in the sweep's folder, a folder a trial. W&B gets a group a sweep in the
    project `bdw` (or WANDB_PROJECT); MLflow an experiment a sweep, in a file of the sweep's folder (or wherever
    MLFLOW_TRACKING_URI says).
    """
    found: list[tune.Callback] = []
    if is_installed(TENSORBOARD):
        found.append(_TensorBoard())
    if "wandb" in names:
        from ray.air.integrations.wandb import WandbLoggerCallback

        # The logging process is Ray's and may not have this process's environment.
        project, mode = os.environ.get("WANDB_PROJECT", "bdw"), os.environ.get("WANDB_MODE", "online")
        found.append(_numbers_only(WandbLoggerCallback)(project=project, group=paths.name, mode=mode))
    if "mlflow" in names:
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        address = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{paths.path / 'mlflow.db'}")
        found.append(_numbers_only(MLflowLoggerCallback)(tracking_uri=address, experiment_name=paths.name))
    return found


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """A report's own finite numbers, with the epoch as Tune's step; {} for a closing report, which repeats the last.

    Tune's own step starts again after a failure, and its loggers would write the whole config with every epoch.
    """
    if row.get("ended") or row.get("failure") or not row.get("epoch"):
        return {}
    own = {
        name: value
        for name, value in row.items()
        if name not in _TUNES_OWN and isinstance(value, (int, float)) and math.isfinite(value)
    }
    return {**own, "training_iteration": row["epoch"]}


def _numbers_only(logger: type[Any]) -> type[Any]:
    """Ray's logger, given only what `numbers` returns."""

    class NumbersOnly(logger):  # type: ignore[misc]
        def log_trial_result(self, iteration: int, trial: Trial, result: Mapping[str, Any]) -> None:
            if kept := numbers(result):
                super().log_trial_result(iteration, trial, kept)

    return NumbersOnly


def varied(config: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a Tune trial from the others of its sweep: its method, domain and seed, and what it was proposed
    (`config["varied"]`); lists as text, and without values that are None."""
    found = {name: config["labels"].get(name) for name in ("method", "domain", "seed")} | config.get("varied", {})
    return {
        name: value if isinstance(value, (str, bool, int, float)) else str(value)
        for name, value in found.items()
        if value is not None
    }


class _TensorBoard(TBXLoggerCallback):  # type: ignore[misc]
    """Ray's, with all numbers of a report in one record.

    Ray's writes a record for every number, and waits for the disk behind each report: milliseconds of the driver for
    every epoch of every trial. The HParams page has a column for what varies, not for all settings of a run.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._flushed: dict[Trial, float] = {}

    def log_trial_result(self, iteration: int, trial: Trial, result: Mapping[str, Any]) -> None:
        """Called with every report."""
        from tensorboardX.proto.summary_pb2 import Summary

        if not (kept := numbers(result)):
            return
        if trial not in self._trial_writer:
            self.log_trial_start(trial)
        step = round(kept.pop("training_iteration"))
        named = {f"ray/tune/{name}": float(value) for name, value in kept.items()}
        values = [Summary.Value(tag=name, simple_value=value) for name, value in named.items()]
        writer = self._trial_writer[trial]
        writer.file_writer.add_summary(Summary(value=values), step)
        self._trial_result[trial] = named
        if self._clock() - self._flushed.setdefault(trial, self._clock()) >= SECONDS_BETWEEN_FLUSHES:
            writer.flush()
            self._flushed[trial] = self._clock()

    def _try_log_hparams(self, trial: Trial, result: Mapping[str, Any]) -> None:
        # Called by Ray's logger at the trial's end, a private name of Ray 2.60, hence the pin in pyproject.toml.
        from tensorboardX.summary import hparams

        for summary in hparams(hparam_dict=varied(trial.config), metric_dict=dict(result)):
            self._trial_writer[trial].file_writer.add_summary(summary)
