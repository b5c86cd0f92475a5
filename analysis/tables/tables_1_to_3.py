"""The paper's Tables 1, 2 and 3 (Ericsson, Gouk and Hospedales, arXiv 2006.12360) from the files of own sweeps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from analysis.errors import ColumnsError, DuplicateError, MetricError, OptionError, listing
from analysis.results_table import is_long, rows_of_metric
from analysis.tables.number_text import are_best, number_text, sensible_decimals
from analysis.tables.score_tables import score_tables
from analysis.tables.text_table import Cell, Section, TextTable

EVALUATIONS = {"accuracy": "Logistic regression", "fine_tuned_accuracy": "Fine-tuned"}
"""The metrics of Table 2 and what the paper calls them."""

PAPERS_CELLS = tuple(itertools.product((10.0, 1.0), (0.5, 0.9), (0.1, 0.25)))
"""The paper's grid of Table 3 as (eta, rho, lambda)."""

_SETTINGS = {"weight_lr": "η", "density_threshold": "ρ", "cdf_threshold": "λ"}
_MEASURED = {"score": "accuracy (%)", "kept_fraction": "kept (%)", "wall_seconds": "time (s)"}


def table_1(results: pd.DataFrame, *, domains_down: bool = False) -> TextTable:
    """Lay out the test losses of auto-encoders, by method and target; lower is better.

    Args:
        results: long results table with the metric pretext_loss, as sweeps/mnist_autoencoders.py writes it.
        domains_down: domains down and methods across.

    Raises:
        AnalysisInputError: as `score_tables`.
    """
    return score_tables(
        results,
        metric="pretext_loss",
        higher_is_better=False,
        average_rank=False,
        domains_down=domains_down,
        caption="Test losses of auto-encoders on the target, by method and target.",
    )


def table_2(results: pd.DataFrame, *, domains_down: bool = False) -> TextTable:
    """Lay out accuracies by method and target domain, with average ranks, in a section for each evaluation.

    Args:
        results: long results table with the metric accuracy, fine_tuned_accuracy or both, as
            sweeps/visual_decathlon.py writes it.
        domains_down: domains down and methods across.

    Raises:
        MetricError: neither of the two metrics is there.
        AnalysisInputError: as `score_tables`.
    """
    if not is_long(results) or "metric" not in results.columns:
        raise ColumnsError(f"columns: {listing(results.columns)}; allowed: those of a long results table")
    present = set(results["metric"].astype(str))
    metrics = {metric: title for metric, title in EVALUATIONS.items() if metric in present}
    if not metrics:
        raise MetricError(f"metric: neither of {listing(EVALUATIONS)}; present: {listing(sorted(present)) or 'none'}")
    return score_tables(
        results,
        metric=metrics,
        higher_is_better=True,
        percent=True,
        domains_down=domains_down,
        caption="Accuracy on the test split by method and target domain.",
    )


def table_3(
    measured: pd.DataFrame,
    *,
    cells: Iterable[tuple[float, float, float]] | None = PAPERS_CELLS,
    domain: str | None = None,
) -> TextTable:
    """Lay out what pruning keeps and costs: accuracy, share of the source kept at the end, wall-clock time.

    Args:
        measured: trials.csv as sweeps/stl10_pruning.py writes it, read by pandas: a row for every (eta, rho, lambda)
            that completed, after those of methods that have no such settings. Or a long results table: then a row a
            method.
        cells: which (eta, rho, lambda) of trials; those that did not complete are rows of dashes. None for all that
            did.
        domain: which target, where there are several.

    Returns:
        a `TextTable`; means ± sample standard deviations over seeds. The highest accuracy and the shortest time are
        bold; how much to keep is no merit by itself.

    Raises:
        ColumnsError: neither of the two kinds of table.
        MetricError: trials that were measured by something else than accuracy.
        DuplicateError: several trials with the same settings and seed; they differ in something that is not shown.
        OptionError: several domains and none chosen, or one that is absent; nothing is complete.
    """
    rows = _of_results(measured) if "metric" in measured.columns else _of_trials(measured)
    rows = rows[rows["domain"] == _chosen_domain(rows, domain)]
    groups = _groups(rows, cells)
    settings = [cell for _, cell, _ in groups if not math.isnan(cell[0])]
    measurements = {column: _column(column, [group[column] for *_, group in groups]) for column in _MEASURED}
    body = [
        (name, (*(_setting_cells(cell) if settings else ()), *(cells_of[i] for cells_of in measurements.values())))
        for i, (name, cell, _) in enumerate(groups)
    ]
    most = max(group["seed"].nunique() for *_, group in groups)
    number = f"Means ± sample standard deviations over {most} seeds" if most > 1 else "One seed"
    gaps = "; –: did not complete, or no such setting" if settings else ""
    return TextTable(
        caption=f"Pruning on {rows['domain'].iloc[0]}: accuracy on the test split, share of the source kept at the "
        "end, wall-clock time.",
        corner="method",
        columns=(*(_SETTINGS.values() if settings else ()), *_MEASURED.values()),
        sections=(Section(title="", rows=tuple(body)),),
        note=f"{number}. Bold: the highest accuracy and the shortest time before rounding, whatever the "
        f"significance{gaps}.",
    )


Setting = tuple[float, ...]
_NO_SETTING: Setting = (math.nan,) * len(_SETTINGS)


def _groups(rows: pd.DataFrame, cells: Iterable[Setting] | None) -> list[tuple[str, Setting, pd.DataFrame]]:
    """Name, (eta, rho, lambda) and runs of every row of the table: first the methods that have no such settings."""
    has_setting = rows[list(_SETTINGS)].notna().any(axis=1)
    plain, pruning = rows[~has_setting], rows[has_setting]
    groups = [(str(name), _NO_SETTING, plain[plain["method"] == name]) for name in plain["method"].unique()]
    if cells is None:
        present = {tuple(setting) for setting in pruning[list(_SETTINGS)].to_numpy(dtype=float).tolist()}
        cells = sorted(present, key=lambda setting: (-setting[0], *setting[1:]))
    for name in pruning["method"].unique():
        own = pruning[pruning["method"] == name]
        groups += [(str(name), cell, own[_has_setting(own, cell)]) for cell in dict.fromkeys(cells)]
    for name, cell, group in groups:
        repeated = group["seed"].duplicated()
        if repeated.any():
            raise DuplicateError(
                f"trials: {name} with (η, ρ, λ) = {cell} more than once for seed "
                f"{listing(group.loc[repeated, 'seed'].unique())}; allowed: once each"
            )
    return groups


def _of_trials(trials: pd.DataFrame) -> pd.DataFrame:
    needed = ("state", "method", "domain", "seed", "test_score", "measure", "kept_fraction", "wall_seconds")
    absent = [column for column in needed if column not in trials.columns]
    if absent:
        raise ColumnsError(
            f"columns: {listing(absent)} absent; allowed: those of trials.csv or of a long results table"
        )
    rows = trials[trials["state"] == "complete"].rename(columns={"test_score": "score"})
    others = sorted({*rows["measure"].astype(str)} - {"accuracy"})
    if others:
        raise MetricError(f"measure: {listing(others)}; allowed: accuracy")
    return rows.reindex(columns=[*rows.columns, *(name for name in _SETTINGS if name not in rows.columns)])


def _of_results(results: pd.DataFrame) -> pd.DataFrame:
    absent = [column for column in ("kept_fraction", "wall_seconds") if column not in results.columns]
    if absent:
        raise ColumnsError(f"columns: {listing(absent)} absent; present: {listing(results.columns)}")
    rows = rows_of_metric(results, "accuracy").rename(columns={"value": "score"})
    return rows.assign(**dict.fromkeys(_SETTINGS, math.nan))


def _chosen_domain(rows: pd.DataFrame, domain: str | None) -> str:
    present = [str(name) for name in rows["domain"].unique()]
    if domain is None and len(present) == 1:
        return present[0]
    if domain not in present:
        raise OptionError(f"domain: {domain!r}; allowed: {listing(present) or 'none, as nothing is complete'}")
    return domain


def _has_setting(rows: pd.DataFrame, cell: Setting) -> pd.Series[bool]:
    equal = np.isclose(rows[list(_SETTINGS)].to_numpy(dtype=float), cell, rtol=1e-9, atol=0).all(axis=1)
    return pd.Series(equal, index=rows.index)


def _column(column: str, groups: list[pd.Series[float]]) -> list[Cell | None]:
    """One measured quantity of every row."""
    factor = 1 if column == "wall_seconds" else 100
    means = [factor * float(group.mean()) for group in groups]
    deviations = [factor * float(group.std()) for group in groups]
    known = [mean for mean in means if not math.isnan(mean)]
    decimals = 1 if factor == 100 else min(1, sensible_decimals(known, []))
    best = are_best(means, higher_is_better=column == "score")
    return [
        None
        if math.isnan(mean)
        else Cell(
            text=number_text(mean, decimals),
            spread="" if math.isnan(deviation) else f"± {number_text(deviation, decimals)}",
            is_best=is_best and column != "kept_fraction",
        )
        for mean, deviation, is_best in zip(means, deviations, best, strict=True)
    ]


def _setting_cells(values: Setting) -> list[Cell | None]:
    return [None if math.isnan(value) else Cell(text=f"{value:.3g}") for value in values]
