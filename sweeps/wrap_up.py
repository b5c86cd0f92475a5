"""The end of a sweep: tables, pictures, the page, and a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna
import pandas as pd
from rich.console import Console
from rich.table import Table

from bdw.report import write_sweep_report
from sweeps.comparison import Cell, comparison_rows
from sweeps.experiment import Experiment
from sweeps.pictures import draw_ranks, draw_trials
from sweeps.results import trial_rows, write_results, write_trials
from sweeps.search import best_trial


def wrap_up(
    experiment: Experiment,
    study: optuna.Study,
    comparison: optuna.Study,
    cells: Sequence[Cell],
    *,
    baseline: str,
    title: str,
    console: Console,
) -> Path:
    """Write everything that a sweep leaves behind besides its runs; says which picture is missing and why.

    The baseline's runs on the first target stand among the trials, so that they can be compared with the search.

    Returns:
        the report's path.
    """
    folder = experiment.places.path
    rows = trial_rows(study)
    for row in trial_rows(comparison, prefix="comparison-"):
        if row["method"] == baseline and row["domain"] == experiment.base.data.target:
            rows.append(row)
    write_trials(folder / "trials.csv", rows)
    results = comparison_rows(comparison, cells)
    write_results(folder / "results.parquet", results)
    table = pd.DataFrame(results)
    for missing in (
        draw_trials(pd.DataFrame(rows), baseline, folder / "pareto.png"),
        draw_ranks(table, folder, metric="accuracy", remark=experiment.choice.remark),
    ):
        if missing is not None:
            console.print(f"left out: {missing}", soft_wrap=True)
    best = best_trial(study)
    if best is not None:
        experiment.places.fetch_run(best.user_attrs["run"])
    console.print(accuracy_table(table))
    return write_sweep_report(folder, title=title)


def accuracy_table(results: pd.DataFrame) -> Table:
    """Test accuracy of every method on every domain, mean over seeds, and what a run cost on average."""
    rows = results[results["metric"] == "accuracy"]
    methods, domains = (list(dict.fromkeys(rows[column])) for column in ("method", "domain"))
    means = rows.groupby(["domain", "method"])["value"].mean()
    table = Table("target domain", title="test accuracy (%)")
    for method in methods:
        table.add_column(method, justify="right")
    for domain in domains:
        found = [(domain, method) in means.index for method in methods]
        cells = [f"{100 * means[domain, m]:.1f}" if ok else "failed" for m, ok in zip(methods, found, strict=True)]
        table.add_row(domain, *cells, end_section=domain == domains[-1])
    for name, column, scale, digits in (
        ("mean", "value", 100, 1),
        ("seconds a run", "wall_seconds", 1, 1),
        ("instances a run", "instances_seen", 1, 0),
        ("kept at the end (%)", "kept_fraction", 100, 0),
    ):
        averages = rows.groupby("method")[column].mean()
        table.add_row(name, *(f"{scale * averages[method]:,.{digits}f}" for method in methods))
    return table
