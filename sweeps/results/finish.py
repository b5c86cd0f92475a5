"""The end of a sweep: tables, pictures, the page, and a table for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from rich.console import Console
from rich.table import Table

from bdw.data.problem import planned_target
from bdw.errors import InputError
from bdw.evaluation import Measure
from bdw.report import write_sweep_report
from bdw.report.sweep_cost import SweepCost
from bdw.report.trials_table import CHOSEN, COMPARISON_PREFIX
from bdw.runs.export import RESULT_COLUMNS
from sweeps.results.figures import draw_ranks, draw_trials
from sweeps.results.story import CURVES_TABLE, STORY, tell_story
from sweeps.runner.comparison import Cell, comparison_curves, comparison_rows, complete_cells
from sweeps.runner.experiment import Experiment
from sweeps.runner.search import METHOD, best_trial, failures
from sweeps.study.tables import trial_rows, write_curves, write_results, write_trials


def finish_search(
    experiment: Experiment,
    study: optuna.Study,
    comparison: optuna.Study,
    cells: Sequence[Cell],
    *,
    baseline: str,
    title: str,
    console: Console,
    oracles: Collection[str] | None = None,
    subject: str | None = None,
) -> Path:
    """Write everything that a sweep leaves behind besides its runs; says which picture is missing and why.

    The baseline's runs on the search's target stand among the trials, so that they can be compared with the search.
    With curves.parquet in its folder the sweep's page tells the story of a comparison at equal budget (see
    `tell_story` for `subject` and `oracles`; None for the methods of the weighter "oracle").

    Returns:
        the report's path.
    """
    folder = experiment.paths.path
    rows = search_rows(experiment, study)
    compared = trial_rows(comparison, experiment.measure.name, prefix=COMPARISON_PREFIX)
    _say_cost([*rows, *compared], console)
    domain = experiment.base.data.target
    rows += [row for row in compared if (row["method"], row["domain"]) == (baseline, domain)]
    write_trials(folder / "trials.csv", rows)
    missing = [draw_trials(pd.DataFrame(rows), experiment.measure, baseline, folder / "pareto.png")]
    table = _write_results(experiment, comparison, cells)
    if experiment.has_equal_budget:
        write_curves(folder / CURVES_TABLE, comparison_curves(comparison, cells))
    else:
        (folder / CURVES_TABLE).unlink(missing_ok=True)
    missing.append(_compare(experiment, table, cells, console))
    missing.append(_tell(experiment, table, cells, baseline, oracles, subject, console))
    _say_left_out(missing, console)
    best = best_trial(study)
    if best is not None:
        experiment.paths.fetch_run(best.user_attrs["run"])
    return write_sweep_report(folder, title=title)


def finish_comparison(
    experiment: Experiment,
    comparison: optuna.Study,
    cells: Sequence[Cell],
    *,
    title: str,
    console: Console,
    draw: Callable[[pd.DataFrame, Sequence[Cell]], None],
    ranked: bool = True,
    baseline: str | None = None,
    oracles: Collection[str] | None = None,
    subject: str | None = None,
) -> Path:
    """Write everything that a sweep without a search leaves behind: all its trials belong to the comparison.

    `draw` gets the long results table and the complete cells, and adds the experiment's own tables and figures. Without
    `ranked` nothing else is added: no table by method and domain, no average ranks. `baseline`, `oracles` and `subject`
    are for the story of a comparison at equal budget, as in `finish_search`.

    Returns:
        the report's path.

    Raises:
        InputError: no cell is complete; trials.csv and a page tell why.
    """
    folder = experiment.paths.path
    rows = trial_rows(comparison, experiment.measure.name)
    if not rows:
        raise InputError("comparison: no run was started, so that there is nothing to compare")
    _say_cost(rows, console)
    write_trials(folder / "trials.csv", rows)
    complete = complete_cells(comparison, cells)
    if not complete:
        write_sweep_report(folder, title=title)
        raise InputError(f"comparison: none of {len(cells)} runs is complete; why stands in {folder / 'trials.csv'}")
    table = _write_results(experiment, comparison, cells)
    missing = _compare(experiment, table, cells, console) if ranked else None
    draw(table, complete)
    told = None if baseline is None else _tell(experiment, table, cells, baseline, oracles, subject, console)
    _say_left_out([missing, told], console)
    return write_sweep_report(folder, title=title)


def _write_results(experiment: Experiment, comparison: optuna.Study, cells: Sequence[Cell]) -> pd.DataFrame:
    """results.parquet; returns the long table in it."""
    results = comparison_rows(comparison, cells)
    write_results(experiment.paths.path / "results.parquet", results)
    return pd.DataFrame(results, columns=RESULT_COLUMNS)


def _compare(experiment: Experiment, table: pd.DataFrame, cells: Sequence[Cell], console: Console) -> str | None:
    """The diagram and the table in the terminal; returns why there is no diagram, if so."""
    missing = draw_ranks(table, experiment.paths.path, measure=experiment.measure, remark=experiment.choice.remark)
    console.print(score_table(table, cells, experiment.measure))
    return missing


def _tell(
    experiment: Experiment,
    table: pd.DataFrame,
    cells: Sequence[Cell],
    baseline: str,
    oracles: Collection[str] | None,
    subject: str | None,
    console: Console,
) -> str | None:
    """The story's files and its verdict in the terminal, if there are curves; returns why there is none, if so."""
    folder = experiment.paths.path
    if not (folder / CURVES_TABLE).is_file():
        return None
    if oracles is None:
        oracles = list(dict.fromkeys(cell.method for cell in cells if cell.config.weighter.weighter == "oracle"))
    configs = {cell.domain: cell.config for cell in cells}
    missing = tell_story(
        table,
        folder,
        measure=experiment.measure,
        baseline=baseline,
        oracles=oracles,
        subject=subject,
        remark=experiment.choice.remark,
        validation_images={
            domain: len(planned_target(config.data).shares["validation"].labels) for domain, config in configs.items()
        },
    )
    if (folder / STORY).is_file():
        story = json.loads((folder / STORY).read_text(encoding="utf-8"))
        for sentence in story["verdict"]:
            console.print(sentence, soft_wrap=True, markup=False, highlight=False)
        if story["example_run"]:
            experiment.paths.fetch_run(Path(story["example_run"]).name)
    return missing


def _say_cost(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    console.print(str(SweepCost.of(pd.DataFrame(list(rows)))), soft_wrap=True)


def _say_left_out(missing: Sequence[str | None], console: Console) -> None:
    for reason in missing:
        if reason is not None:
            console.print(f"left out: {reason}", soft_wrap=True)


def search_rows(experiment: Experiment, study: optuna.Study) -> list[dict[str, Any]]:
    """The rows of the search's trials."""
    base = experiment.base
    known = {"method": METHOD, "domain": base.data.target, "seed": base.optimiser.seed}
    rows = trial_rows(study, experiment.measure.name, known=known)
    best = best_trial(study)
    if len(study.directions) > 1 and best is not None:
        for row in rows:
            row[CHOSEN] = int(row["trial"] == str(best.number))
    return rows


def require_complete_trial(experiment: Experiment, study: optuna.Study, *, title: str) -> None:
    """Raise `InputError` if no trial of the search is complete, after writing trials.csv and a page that tell why."""
    if best_trial(study) is not None:
        return
    folder, rows, failed = experiment.paths.path, search_rows(experiment, study), failures(study)
    if not rows:
        raise InputError("search: no trial was started, so that there is nothing to compare")
    write_trials(folder / "trials.csv", rows)
    write_sweep_report(folder, title=title)
    told = f"; the last one that failed said: {failed[-1]}" if failed else ""
    raise InputError(
        f"search: none of {len(rows)} trials completed, {len(failed)} of them failed{told}; "
        f"all are in {folder / 'trials.csv'}"
    )


def write_so_far(folder: Path, rows: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """trials.csv and the page of a sweep that is not over, from the rows of its trials so far."""
    if rows:
        write_trials(folder / "trials.csv", rows)
        write_sweep_report(folder, title=title)


def score_table(results: pd.DataFrame, cells: Sequence[Cell], measure: Measure) -> Table:
    """Test score of every method on every domain, mean over seeds, and what a run cost on average.

    The means over domains and the costs are over those domains and seeds that every method completed: another method's
    mean over easier domains would say nothing.
    """
    rows = results[results["metric"] == measure.name]
    methods, domains = (list(dict.fromkeys(getattr(cell, name) for cell in cells)) for name in ("method", "domain"))
    pairs = {(cell.domain, cell.seed) for cell in cells}
    done = {method: rows[rows["method"] == method].set_index(["domain", "seed"]) for method in methods}
    shared = sorted(pairs.intersection(*(own.index for own in done.values())))
    table = Table("target domain", title=f"test {measure.heading}")
    for method in methods:
        table.add_column(method, justify="right")
    for domain in domains:
        wanted = sum(where == domain for where, _ in pairs)
        found = (rows[(rows["method"] == method) & (rows["domain"] == domain)]["value"] for method in methods)
        table.add_row(domain, *(_cell(own, wanted, measure) for own in found), end_section=domain == domains[-1])
    several_seeds = len(pairs) > len(domains)
    of = f"{len(shared)} of {len(pairs)} {'domains and seeds' if several_seeds else 'domains'}"
    whole = len(shared) == len(pairs)
    for name, column, scale, digits in (
        ("mean" if whole else f"mean of {of}", "value", measure.factor, measure.decimals),
        ("seconds a run", "wall_seconds", 1, 1),
        ("instances a run", "instances_seen", 1, 0),
        ("kept at the end (%)", "kept_fraction", 100, 0),
    ):
        averages = (own.loc[shared, column].mean() if shared else math.nan for own in done.values())
        table.add_row(name, *("–" if math.isnan(mean) else f"{scale * mean:,.{digits}f}" for mean in averages))
    if not whole:
        table.caption = f"means and costs are over the {of} that every method completed"
    return table


def _cell(values: pd.Series[float], wanted: int, measure: Measure) -> str:
    if values.empty:
        return "failed"
    missing = f" ({len(values)} of {wanted} seeds)" if len(values) < wanted else ""
    return f"{measure.factor * values.mean():.{measure.decimals}f}{missing}"
