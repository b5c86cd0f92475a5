"""Trackers of a run's epochs: TensorBoard's files, Weights & Biases, MLflow and trackio, each where it is installed.

A tracker that fails in the middle of a run is left aside with a warning: `metrics.csv` has the same numbers.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import math
import os
import posixpath
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from bdw.errors import InputError, unknown_option
from bdw.storage.atomic_write import write_text

TENSORBOARD = "tensorboard"
PACKAGES = {TENSORBOARD: "tensorboardX", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}
"""Tracker -> the package that it needs. All but TensorBoard's come with our extras of the same names."""
SILENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}
"""Numbers go to the chosen trackers, and no usage statistics to the makers of the packages."""
NO_ACCOUNT = ("offline", "disabled")
RECORD = "trackers.json"
"""In a run's directory: under which names trackers know the run, so that a resumed run continues there."""
_PROJECT = "bdw"

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """Gets the numbers of every epoch."""

    identity: str
    """Under which it knows the run."""

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """The finite numbers of an epoch, counted from 1."""

    def end(self) -> None:
        """Nothing more will come."""


def is_installed(tracker: str) -> bool:
    """Whether the tracker's package is installed."""
    return find_spec(PACKAGES[tracker]) is not None


def require_usable(trackers: Sequence[str], *, option: str, known: Sequence[str] = tuple(PACKAGES)) -> None:
    """Raise `InputError`, which names the option, for an unknown tracker, one whose package is missing, one given
    twice, or W&B without an account.

    Also sets the environment variables that trackers read; where Ray is used call it before Ray starts, whose processes
    inherit them.
    """
    for i, name in enumerate(trackers):
        if name not in known:
            raise unknown_option(option, name, known)
        if name in trackers[:i]:
            raise InputError(f"{option}: {name!r} is given twice; allowed: each once")
        if not is_installed(name):
            extra = "" if name == TENSORBOARD else f" (the extra `{name}`)"
            raise InputError(f"{option}: {name!r} needs `pip install {PACKAGES[name]}`{extra}")
    if trackers:
        for variable, value in SILENT.items():
            os.environ.setdefault(variable, value)
    if "wandb" in trackers and not os.environ.get("WANDB_API_KEY") and os.environ.get("WANDB_MODE") not in NO_ACCOUNT:
        raise InputError(
            f"{option}: 'wandb' knows no account; set WANDB_API_KEY, or WANDB_MODE=offline for files alone"
        )


class Trackers:
    """All trackers of a run; each begins with the first epoch that it hears of."""

    def __init__(self, names: Sequence[str], run_dir: Path, settings: Mapping[str, Any]):
        """`settings`: what the run was asked for, name -> value; shown beside its curves."""
        self._names, self._run_dir, self._settings = tuple(names), run_dir, settings
        self._begun: dict[str, Tracker] | None = None

    def log(self, row: Mapping[str, Any]) -> None:
        """An epoch as `EpochReport.row` has it; what is no finite number is left out."""
        if not self._names:
            return
        epoch = int(row["epoch"])
        if self._begun is None:
            self._begun = {}
            for name in self._names:
                self._try(name, partial(self._begin, name, epoch))
        numbers = {
            name: float(value)
            for name, value in row.items()
            if name != "epoch" and isinstance(value, int | float) and math.isfinite(value)
        }
        for name, tracker in list(self._begun.items()):
            self._try(name, partial(tracker.log, epoch, numbers))

    def end(self) -> None:
        """Nothing more will come in this process."""
        for name, tracker in list((self._begun or {}).items()):
            self._try(name, tracker.end)
        self._begun = None

    def _begin(self, name: str, epoch: int) -> None:
        assert self._begun is not None
        record = self._run_dir / RECORD
        known: dict[str, str] = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        kinds: dict[str, Callable[[Path, Mapping[str, Any], str | None, int], Tracker]] = {
            TENSORBOARD: _TensorBoard, "wandb": _WeightsAndBiases, "mlflow": _MLflow, "trackio": _Trackio,
        }  # fmt: skip
        tracker = kinds[name](self._run_dir, self._settings, known.get(name), epoch)
        self._begun[name] = tracker
        if known.get(name) != tracker.identity:
            write_text(record, json.dumps({**known, name: tracker.identity}, indent=2) + "\n")

    def _try(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # Networks, databases and packages of others: no reason to lose the run.
            logger.warning("tracker %s: %s; the run goes on without it", name, str(error).partition("\n")[0])
            if self._begun is not None:
                self._begun.pop(name, None)


class _TensorBoard:
    """Event files in the folder `tensorboard` of the run's directory."""

    identity = TENSORBOARD

    def __init__(self, run_dir: Path, settings: Mapping[str, Any], known: str | None, epoch: int):
        from tensorboardX import SummaryWriter

        # Of a run that continues from an earlier checkpoint, the epochs that are trained again are forgotten.
        # Names hold whole seconds: without the suffix, a run that goes on within one would overwrite its own file.
        self._writer = SummaryWriter(
            str(run_dir / "tensorboard"), purge_step=epoch if known else None, filename_suffix=f".{time.time_ns()}"
        )
        if not known:
            self._writer.add_text("settings", _as_markdown(settings))

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def end(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    """A run of the project `bdw` (or WANDB_PROJECT)."""

    def __init__(self, run_dir: Path, settings: Mapping[str, Any], known: str | None, epoch: int):
        self.identity = known or uuid.uuid4().hex[:12]
        self._run = importlib.import_module("wandb").init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=run_dir.name,
            id=self.identity,
            resume="allow",
            dir=str(run_dir),
            config=dict(settings),
            mode=os.environ.get("WANDB_MODE", "online"),
        )

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=epoch)

    def end(self) -> None:
        self._run.finish()


class _MLflow:
    """A run of the experiment `bdw`, in `mlflow.db` of the run's directory or wherever MLFLOW_TRACKING_URI says."""

    def __init__(self, run_dir: Path, settings: Mapping[str, Any], known: str | None, epoch: int):
        mlflow = importlib.import_module("mlflow")
        entities = importlib.import_module("mlflow.entities")
        self._metric = entities.Metric
        address = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{run_dir / 'mlflow.db'}")
        self._client = mlflow.MlflowClient(tracking_uri=address)
        if known is not None:
            self.identity = known
            self._client.update_run(known, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        number = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        self.identity = str(self._client.create_run(number, run_name=run_dir.name).info.run_id)
        params = [entities.Param(key, str(value)[:500]) for key, value in settings.items()]
        self._client.log_batch(self.identity, params=params)

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        now = round(1000 * time.time())
        metrics = [self._metric(mlflow_name(name), value, now, epoch) for name, value in numbers.items()]
        self._client.log_batch(self.identity, metrics=metrics)

    def end(self) -> None:
        self._client.set_terminated(self.identity)


def mlflow_name(name: str) -> str:
    """What a metric is called in MLflow, which refuses a whole epoch for one name with other characters than letters,
    digits and `_-. /`, or that as a path could be written shorter: names of targets may be paths."""
    return posixpath.normpath(re.sub(r"[^/\w.\- ]", "_", name))


class _Trackio:
    """A run of the project `bdw` (or TRACKIO_PROJECT), in trackio's folder on this machine (TRACKIO_DIR)."""

    def __init__(self, run_dir: Path, settings: Mapping[str, Any], known: str | None, epoch: int):
        self.identity = known or f"{run_dir.name}-{uuid.uuid4().hex[:6]}"
        self._trackio = importlib.import_module("trackio")
        with _quiet():
            self._trackio.init(
                project=os.environ.get("TRACKIO_PROJECT", _PROJECT),
                name=self.identity,
                resume="allow",
                config={name: str(value) for name, value in settings.items()},
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        self._trackio.log(dict(numbers), step=epoch)

    def end(self) -> None:
        with _quiet():
            self._trackio.finish()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Within, nothing is printed: the console shows the run's progress."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _as_markdown(settings: Mapping[str, Any]) -> str:
    return "\n".join(
        ["| setting | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in settings.items())]
    )
