"""The options that every sweep has. torch and Ray are not imported here, so that what cannot work is told at once."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bdw.config.workers import require_gpu_share
from bdw.data.readers import resolve
from bdw.errors import InputError, unknown_option
from bdw.runs import trackers
from sweeps.runner.paths import require_name
from sweeps.study.objective import require_known

ALL, BEST, NONE = KEPT = ("all", "best", "none")
"""Trials whose checkpoints a sweep may keep."""
TRACKERS = (trackers.TENSORBOARD, "wandb", "mlflow")
"""Those that Ray's loggers know."""


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """Where a sweep runs, how large it is, and where it leaves its files."""

    data_root: str | None = None
    """Folder or address (s3://bucket/data) of downloaded data sets or .npz files."""
    download: bool = False
    """Let torchvision download a data set that is not under the data root."""
    targets: tuple[str, ...] = ()
    """Target domains; the search has the first of them as its target, the comparison has all. Default: the data's own,
    and a further one for the search where the data have one to spare."""
    max_source: int | None = None
    """Use only that many source images. Default: depends on the data."""
    epochs: int | None = None
    """Epochs of a whole trial, or its budget as passes over the source. Default: depends on the data."""
    seeds: tuple[int, ...] = ()
    """Seeds of the comparison; a search uses the first. Default: depends on the data."""
    num_workers: int = 1
    """Workers of a trial; with more than one a trial goes through Ray Train."""
    cpus_per_trial: float | None = None
    """CPUs of a trial, over its workers. Default: one per worker."""
    gpus_per_trial: float = 0.0
    """GPUs of a trial, over its workers; fractions let trials of one worker share one."""
    concurrency: int | None = None
    """Trials side by side. Default: as many as fit on the machines that run now; say how many where a cluster grows."""
    storage_path: str | None = None
    """Folder, s3://bucket/path or gs://bucket/path. Default: runs/sweeps here."""
    name: str | None = None
    """Name of the sweep; the same name continues it. Default: made of the experiment and the data."""
    study_storage: str | None = None
    """SQLAlchemy URL of a database for the Optuna study. Default: a journal file in the sweep's folder."""
    log_to: tuple[str, ...] = ()
    """Also send every epoch to wandb or mlflow (extras of the same names). TensorBoard's files lie below ray/tune in
    the sweep's folder anyway, if it is installed; with tensorboard named here, a sweep without it is refused."""
    max_hours: float | None = None
    """Start no more trials after so many hours; those that run are finished. Default: no limit."""
    max_gpu_hours: float | None = None
    """Start no more trials once all trials, those of earlier starts included, have reserved so many GPU-hours."""
    max_failures: int | None = None
    """Start no more trials once more than this many have failed in this start. Default: no limit."""
    keep_checkpoints_of: str = ALL
    """Of which trials that need no more work checkpoints are kept: all, best (the best of each target domain) or none.
    Trials that failed or were cut short keep theirs."""
    smoke: bool = False
    """Only see that everything works: very few images, epochs and trials."""

    def check(self) -> None:
        """Raise `InputError` for values that cannot work."""
        for name in ("max_source", "epochs", "num_workers", "concurrency"):
            require_at_least(name, getattr(self, name), 1)
        require_at_least("gpus_per_trial", self.gpus_per_trial, 0)
        require_gpu_share("gpus_per_trial", self.gpus_per_trial / self.num_workers, self.num_workers)
        if self.cpus_per_trial is not None and not 0 < self.cpus_per_trial < math.inf:
            raise InputError(f"cpus_per_trial: {self.cpus_per_trial} cannot work; allowed: a positive number")
        for name in ("max_hours", "max_gpu_hours"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name}: {value} cannot work; allowed: a positive number of hours")
        require_at_least("max_failures", self.max_failures, 0)
        if self.keep_checkpoints_of not in KEPT:
            raise unknown_option("keep_checkpoints_of", self.keep_checkpoints_of, KEPT)
        for seed in self.seeds:
            require_at_least("seeds", seed, 0)
        require_each_once("seeds", self.seeds)
        require_each_once("targets", self.targets)
        require_each_once("log_to", self.log_to)
        if self.name is not None:
            require_name(self.name)
        if self.study_storage is not None:
            from sweeps.study.storage import require_database_url  # Takes Optuna and SQLAlchemy.

            require_database_url(self.study_storage)
        if self.data_root is None:
            _require_known_targets(self.targets)
        trackers.require_usable(self.log_to, option="log_to", known=TRACKERS)

    @property
    def places(self) -> dict[str, str]:
        """Option -> folder that the machines of a cluster read, among those that were given."""
        return {} if self.data_root is None else {"data_root": self.data_root}


@dataclass(frozen=True, kw_only=True)
class SearchOptions(SweepOptions):
    """The options of a sweep that searches before it compares."""

    samples: int | None = None
    """Trials of the search, published settings among them. Default: depends on the data."""
    objective: str = "accuracy"
    """accuracy, or accuracy-seconds or accuracy-instances (a front of trade-offs, which stops no trial early)."""
    early_stopping: bool = True
    """Stop a trial that is in the worse half of the trials that came as far. Published settings are never stopped."""

    def check(self) -> None:
        """Raise `InputError` for values that cannot work."""
        require_known(self.objective)
        require_at_least("samples", self.samples, 1)
        super().check()


def _require_known_targets(targets: Sequence[str]) -> None:
    """Raise `InputError` for a plain name that is no data set; a path may exist elsewhere."""
    for target in targets:
        if re.fullmatch(r"[\w.-]+", target):
            resolve(target, option="targets", image_size=1)


def require_each_once(name: str, values: Sequence[object]) -> None:
    """Raise `InputError` for a value that is given twice: its runs would count as several."""
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise InputError(f"{name}: {twice!r} is given twice; allowed: each once")


def require_some(name: str, values: Sequence[object]) -> None:
    """Raise `InputError` if there is no value."""
    if not values:
        raise InputError(f"{name}: none given; allowed: at least one")


def require_at_least(name: str, value: float | None, least: int) -> None:
    """Raise `InputError` for a smaller or infinite number; None is whatever the default is."""
    if value is not None and not least <= value < math.inf:
        raise InputError(f"{name}: {value} cannot work; allowed: {least} or more")
