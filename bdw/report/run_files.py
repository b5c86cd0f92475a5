"""The files of a run directory that a report is made from, read once and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bdw import evaluation
from bdw.config import of_today
from bdw.data.packed import PackedDataset
from bdw.diagnostics.diagnosis import Diagnosis
from bdw.errors import InputError
from bdw.evaluation import Measure
from bdw.report.table_files import column, read_json_object, read_table

METRICS_COLUMNS = ("epoch", "loss", "validation_score", "kept_fraction", "instances_seen", "wall_seconds")
WEIGHT_COLUMNS = ("index", "name", "a", "b", "mean", "kept", "pruned_at_epoch")
RESULT_COLUMNS = ("method", "domain", "seed", "metric", "value")


@dataclass(frozen=True)
class RunFiles:
    """What a run left behind.

    `weights` and `results` are None where their file is absent; `images` (uint8 (n, c, h, w)) is None where the packed
    source is, and `notes` then says why. `weights` is None too if all are equal: nothing to show.
    """

    directory: Path
    config: dict[str, Any]
    description: dict[str, Any]
    metrics: pd.DataFrame
    weights: pd.DataFrame | None
    results: pd.DataFrame | None
    images: npt.NDArray[np.uint8] | None
    skipped: tuple[tuple[str, str, int], ...]
    notes: tuple[str, ...]
    signal: Diagnosis | None = None
    """What `diagnose_signal` found; None where it was not asked for."""

    @property
    def measure(self) -> Measure:
        """What the run's validation scores are."""
        return evaluation.measure(str(self.config.get("measure", "accuracy")))

    @property
    def targets(self) -> list[str]:
        """Names of the targets where the run was trained for several; empty where it was for one."""
        return [str(name) for name in self.config.get("targets") or ()]

    @property
    def target_images(self) -> dict[str, int]:
        """Images of the (first) target by split (train, validation, test); empty in runs that did not write it down."""
        return _counts((self.description.get("source") or {}).get("target_images"))

    def images_of(self, target: str) -> dict[str, int]:
        """The same of one of several targets."""
        of_each = (self.description.get("source") or {}).get("targets") or {}
        return _counts((of_each.get(target) or {}).get("images"))


def _counts(found: object) -> dict[str, int]:
    if not isinstance(found, dict):
        return {}
    return {str(split): number for split, number in found.items() if isinstance(number, int) and number > 0}


def read_run(run_dir: Path) -> RunFiles:
    """Reads a run directory.

    Raises `InputError` unless config.json and metrics.csv with an epoch in it are there, and if the run used an option
    that is gone.
    """
    description = read_json_object(run_dir / "config.json")
    config = description.get("config")
    if not isinstance(config, dict):
        raise InputError(f"{run_dir / 'config.json'}: has no object named 'config'; is this the directory of a run?")
    config = of_today(config)
    metrics = read_table(run_dir / "metrics.csv", METRICS_COLUMNS)
    if metrics.empty:
        raise InputError(f"{run_dir / 'metrics.csv'}: holds no epoch yet; a report needs at least one")
    results_path, weights_path = run_dir / "results.parquet", run_dir / "instance_weights.parquet"
    results = read_table(results_path, RESULT_COLUMNS) if results_path.is_file() else None
    weights = read_table(weights_path, WEIGHT_COLUMNS) if weights_path.is_file() else None
    if weights is not None:
        _check_numbers(weights_path, weights)
        weights = weights if weights_differ(weights) else None
    images, skipped, notes = _source(run_dir, description.get("source") or {}, weights)
    signal = _diagnosis(run_dir / "signal.json")
    return RunFiles(run_dir, config, description, metrics, weights, results, images, skipped, notes, signal)


def has_distributions(weights: pd.DataFrame) -> bool:
    """Whether images have (a, b); weighters other than `beta` leave them empty."""
    return not bool(column(weights, "a").isna().all() and column(weights, "b").isna().all())


def weights_differ(weights: pd.DataFrame) -> bool:
    """Whether images differ in their (a, b) or mean weight; uniform weighting leaves one value throughout."""
    names = ("mean", "a", "b") if has_distributions(weights) else ("mean",)
    return not weights.empty and any(column(weights, name).nunique(dropna=False) > 1 for name in names)


def _diagnosis(path: Path) -> Diagnosis | None:
    if not path.is_file():
        return None
    try:
        return Diagnosis.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read as a diagnosis: {error}") from error


def _check_numbers(path: Path, weights: pd.DataFrame) -> None:
    names = ("a", "b", "mean") if has_distributions(weights) else ("mean",)
    for name in names:
        values = column(weights, name)
        # Weights that are no Beta's mean may be 0.
        wrong = ~(np.isfinite(values) & ((values > 0) if len(names) > 1 else (values >= 0)))
        if wrong.any():
            raise InputError(
                f"{path}: {name} is {values[wrong].iloc[0]} for image {weights['index'][wrong].iloc[0]}; "
                f"allowed: {'positive finite numbers' if len(names) > 1 else 'finite numbers, 0 or more'}"
            )


def _source(
    run_dir: Path, source: dict[str, Any], weights: pd.DataFrame | None
) -> tuple[npt.NDArray[np.uint8] | None, tuple[tuple[str, str, int], ...], tuple[str, ...]]:
    """Images, skipped files (name, reason, how many) and notes; a source that moved away costs the sheets alone."""
    of_target = _skipped(source.get("target_skipped"))
    skipped = _skipped(source.get("skipped")) + of_target
    if not source.get("path"):
        return None, skipped, ()
    path = run_dir / str(source["path"])
    try:
        packed = PackedDataset.open(path)
    except (InputError, OSError) as error:
        return None, skipped, (f"Contact sheets are left out, the packed source cannot be opened: {error}",)
    skipped = _skipped(packed.header.get("skipped")) + of_target or skipped
    if source.get("content_key") not in (None, packed.content_key):
        return None, skipped, (f"Contact sheets are left out, {path} now holds other images than this run saw.",)
    if weights is not None and not weights["index"].between(0, len(packed) - 1).all():
        return None, skipped, (f"Contact sheets are left out, {path} lacks images that the weight table names.",)
    return packed.images, skipped, ()


def _skipped(entries: object) -> tuple[tuple[str, str, int], ...]:
    if not isinstance(entries, list):
        return ()
    return tuple(
        (str(entry.get("name")), str(entry.get("reason")), int(entry.get("count", 1)))
        for entry in entries
        if isinstance(entry, dict)
    )
