"""The arms of a certificate: what each trains on, and the configs of its runs, which differ in nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdw.config import RunConfig, SelectorConfig
from bdw.config.budget import Budget
from bdw.config.identity import settings
from bdw.errors import InputError
from bdw.runs.directory import RunDirectory
from bdw.runs.export import instances_seen, read_table, write_weights_file
from bdw.scoring.certificate import Arm
from bdw.scoring.scorer import config_of
from bdw.weighting import registry as weighters
from bdw.weighting.weighters.protocol import Learns

FOLDER = "certificate"
"""Below the run's directory: the arms' runs and the weights that they were given."""


RETRIEVAL = "retrieval by the run's encoder"
"""How the images of the arm `nearest` are chosen."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A finished run whose kept set is to be certified."""

    run: RunDirectory
    config: RunConfig
    names: NDArray[np.str_]
    """(n,) of the images of the source."""
    kept: NDArray[np.bool_]
    """(n,)."""
    mean: NDArray[np.float64]
    """(n,) mean weights."""
    budget_images: int
    """Images that passed the run's training steps."""

    @classmethod
    def of(cls, run: RunDirectory) -> Subject:
        """What that run has come to; `InputError` unless it has ended, learnt weights and pruned."""
        run.require_finished()
        config = config_of(run)
        if weighters.learns(config.weighter) is Learns.NEVER:
            raise InputError(
                f"run: {run.path} never learnt weights (weighter {config.weighter.weighter!r}), so it chose no images; "
                "allowed: a run with a weighter that learns"
            )
        if config.data.targets:
            raise InputError(
                f"run: {run.path} was trained for several targets, and a certificate is about one; allowed: a run with "
                "one target"
            )
        if not run.instance_weights.is_file():
            raise InputError(f"run: {run.path} holds no instance_weights.parquet; allowed: a run as it was left")
        table = read_table(run.instance_weights, ["index", "name", "kept", "mean"]).sort_by("index")
        kept = table["kept"].to_numpy()
        if kept.all():
            raise InputError(
                f"run: {run.path} kept all of its {len(kept):,} images, so there is no choice to certify; allowed: a "
                "run that pruned"
            )
        seen = max(instances_seen(run.results))
        names, mean = np.array(table["name"].to_pylist(), dtype=np.str_), table["mean"].to_numpy()
        return cls(run, config, names, kept, mean, seen)

    @property
    def folder(self) -> Path:
        """Where the arms' runs lie."""
        return self.run.path / FOLDER

    def plan(self) -> dict[str, Any]:
        """JSON values on which all scores depend but for the seeds; equal plans go on with each other's runs."""
        chosen = hashlib.sha256(np.packbits(self.kept).tobytes() + self.mean.tobytes()).hexdigest()[:16]
        return {
            "settings": settings(self.config),
            "weights": chosen,
            "budget_images": self.budget_images,
            "nearest": RETRIEVAL,
        }

    def seeds(self, count: int) -> tuple[int, ...]:
        """The run's own seed and those that follow it."""
        return tuple(self.config.optimiser.seed + number for number in range(count))


def run_of(subject: Subject, arm: Arm, seed: int) -> RunDirectory:
    """Where that arm's run with that seed lies."""
    return RunDirectory(subject.folder / f"{arm.value}-{seed}")


def nearest_config(subject: Subject) -> SelectorConfig:
    """Of the selector that chooses what the arm `nearest` trains on: retrieval by the run's own encoder."""
    fields = {
        "selector": "nearest-neighbour",
        "selected_count": int(subject.kept.sum()),
        "selector.features": f"run:{subject.run.path.resolve()}",
    }
    return RunConfig().replace(**fields).selector


def write_weights(subject: Subject, nearest: NDArray[np.float64], content_key: str) -> None:
    """The weights that arms are given, as Parquet files; `nearest` (n,) is 1 for what the selector chose."""
    weights = {Arm.KEPT: subject.kept.astype(np.float64), Arm.NEAREST: nearest, Arm.WEIGHTED: subject.mean}
    for arm, values in weights.items():
        write_weights_file(_weights_file(subject, arm), subject.names, values, content_key)


def arm_config(subject: Subject, arm: Arm, seed: int, cache_dir: Path) -> RunConfig:
    """The config of that arm's run: the run's own but for weights and seed, over the same number of images.

    The budget is that of the images which the run itself trained on. Milestones of a learning rate that count epochs
    are moved to the same shares of it.
    """
    config = subject.config
    given = {"weighter": "given", "weights_file": str(_weights_file(subject, arm))}
    share = float(subject.kept.mean())
    own: Mapping[Arm, dict[str, Any]] = {
        Arm.KEPT: given,
        Arm.NEAREST: given,
        Arm.RANDOM: {"weighter": "random", "kept_share": share},
        Arm.PLAIN: {"weighter": "uniform"},
        Arm.WEIGHTED: {**given, "weighted_loss": True, "normalise_weights": True, "prune": False},
    }
    alike = {
        "selector": None, "weights_file": None, "kept_share": None, "weighted_loss": arm is Arm.PLAIN,
        "normalise_weights": False, "prune": True, "min_kept": int(subject.kept.sum()), "draw_every": None,
        "start_from": None, "start_from_content": None,
    }  # fmt: skip
    length = {
        "budget_images": subject.budget_images,
        "time_budget": None,
        "lr_milestones": _milestones(config, subject.budget_images, len(subject.kept)),
    }
    files = {
        "run_dir": str(run_of(subject, arm, seed).path), "cache_dir": str(cache_dir), "resume": True, "report": False,
        "storage_path": None, "keep_checkpoints": 1, "record_trajectory": False, "diagnose_signal": False,
        "trackers": (),
    }  # fmt: skip
    measures = {"monitors": (), "final_measures": ()}
    return config.replace(**{**alike, **own[arm], **length, **files, **measures, "seed": seed})


def _milestones(config: RunConfig, budget_images: int, pool: int) -> tuple[int, ...]:
    """In passes over the source, at the same shares of the budget as the run's own; at least one pass each."""
    budget = Budget.of(config.budget, pool)
    scale = budget_images / pool / budget.passes
    return tuple(sorted({max(1, round(milestone * scale)) for milestone in config.schedule.lr_milestones}))


def _weights_file(subject: Subject, arm: Arm) -> Path:
    return subject.folder.resolve() / f"{arm.value}.parquet"
