"""How much of its source each run still trained on, by epoch, from the files that runs leave behind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import (
    ColumnsError,
    NotFiniteError,
    NotNumericError,
    OptionError,
    ResultsFileError,
    listing,
    shown,
)

COLUMNS = ("run", "label", "epoch", "kept_fraction")
"""Columns of the table that `read_kept_shares` returns."""

# Weighter -> those of its settings that decide when an image is pruned, with the paper's letters.
_SETTINGS = {
    "beta": {"weight_lr": "eta", "density_threshold": "rho", "cdf_threshold": "lambda"},
    "point": {"weight_lr": "eta", "cdf_threshold": "lambda"},
}


def read_kept_shares(runs: Iterable[str | Path], *, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the column `kept_fraction` of the runs' metrics.csv.

    Args:
        runs: directories of runs, each with a metrics.csv.
        labels: what to call each run; runs with the same label are repeats of one another. None: by the weighter in
            its config.json and those of eta, rho and lambda in which runs with this weighter differ, so that runs
            that differ in nothing but their seed (or what is none of these) share a label.

    Returns:
        DataFrame with the columns `COLUMNS`, a row for each run and epoch: the share, from 0 to 1, that was kept after
        that epoch.

    Raises:
        ResultsFileError: a file that is absent or cannot be read.
        AnalysisInputError: a metrics.csv without the columns, or with other things in them.
    """
    directories = [Path(run) for run in runs]
    if not directories:
        raise OptionError("runs: none; allowed: at least one directory of a run")
    if labels is not None and len(labels) != len(directories):
        raise OptionError(f"labels: {len(labels)} for {len(directories)} runs; allowed: one for each")
    names = list(map(str, labels)) if labels is not None else _labels([_config(directory) for directory in directories])
    parts = []
    for directory, label in zip(directories, names, strict=True):
        path = directory / "metrics.csv"
        try:
            metrics = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise ResultsFileError(f"metrics: {path} cannot be read ({_first_line(error)})") from error
        absent = [column for column in ("epoch", "kept_fraction") if column not in metrics.columns]
        if absent:
            raise ColumnsError(
                f"metrics: {path}: columns {listing(absent)} absent; present: {listing(metrics.columns)}"
            )
        parts.append(metrics[["epoch", "kept_fraction"]].assign(run=str(directory), label=label))
    return checked_shares(pd.concat(parts, ignore_index=True))


def checked_shares(shares: pd.DataFrame) -> pd.DataFrame:
    """Return the columns `COLUMNS` of a table of shares kept, sorted by epoch within each run.

    Raises:
        ColumnsError: a column is absent, or there are no rows.
        NotNumericError, NotFiniteError: naming the first offending row.
        OptionError: an epoch below 1 or twice in a run, a share outside 0 to 1, a run with two labels.
    """
    absent = [column for column in COLUMNS if column not in shares.columns]
    if absent:
        raise ColumnsError(f"shares: columns {listing(absent)} absent; present: {listing(shares.columns) or 'none'}")
    if len(shares) == 0:
        raise ColumnsError("shares: 0 rows; allowed: at least one epoch of one run")
    checked = shares[list(COLUMNS)].assign(run=shares["run"].astype(str), label=shares["label"].astype(str))
    for column, low, high in (("epoch", 1, np.inf), ("kept_fraction", 0, 1)):
        converted = pd.to_numeric(checked[column], errors="coerce").astype(float)
        for wrong, error, allowed in (
            (converted.isna() & checked[column].notna(), NotNumericError, "numbers"),
            (~np.isfinite(converted), NotFiniteError, "finite numbers"),
            ((converted < low) | (converted > high), OptionError, f"at least {low}" if column == "epoch" else "0 to 1"),
        ):
            if wrong.any():
                row = checked[wrong].iloc[0]
                raise error(f"shares: {column} {shown(row[column])} in run {row['run']}; allowed: {allowed}")
        checked[column] = converted
    twice = checked[checked.duplicated(["run", "epoch"])]
    if len(twice) > 0:
        raise OptionError(f"shares: epoch {twice['epoch'].iloc[0]:g} twice in run {twice['run'].iloc[0]}")
    torn = checked.groupby("run")["label"].nunique()
    if (torn > 1).any():
        raise OptionError(f"shares: two labels for run {torn.index[torn > 1][0]}; allowed: one")
    position = {run: i for i, run in enumerate(dict.fromkeys(checked["run"]))}
    order = checked.assign(position=checked["run"].map(position)).sort_values(["position", "epoch"]).index
    return checked.loc[order].reset_index(drop=True)


def _config(directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))["config"]
        if "weighter" not in config:
            raise KeyError("weighter")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsFileError(
            f"config: {path} does not say how the run was made ({_first_line(error)}); allowed: a run's config.json, "
            "or labels for the runs"
        ) from error
    return dict(config)


def _labels(configs: Sequence[dict[str, Any]]) -> list[str]:
    varying = {
        weighter: [
            key
            for key in settings
            if len({repr(config.get(key)) for config in configs if config["weighter"] == weighter}) > 1
        ]
        for weighter, settings in _SETTINGS.items()
    }
    distinct = {
        (config["weighter"], *map(repr, map(config.get, varying.get(config["weighter"], [])))) for config in configs
    }
    # Three digits, or as many as keep different settings apart.
    for digits in range(3, 18):
        labels = [_label(config, varying.get(config["weighter"], []), digits) for config in configs]
        if len(set(labels)) == len(distinct):
            break
    return labels


def _label(config: dict[str, Any], keys: Sequence[str], digits: int) -> str:
    weighter = str(config["weighter"])
    values = ((_SETTINGS[weighter][key], config.get(key)) for key in keys)
    parts = (f"{name} {value:.{digits}g}" if isinstance(value, float) else f"{name} {value}" for name, value in values)
    return ", ".join([weighter, *parts])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
