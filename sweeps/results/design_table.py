"""Scores and costs of meta-batch designs, from a sweep's trials.csv: a table, and a picture for each target."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from analysis import pareto_front
from bdw.evaluation import Measure
from bdw.report.sweep_report import FIGURES
from bdw.report.wording import plural
from bdw.storage.atomic_write import write_text
from bdw.weighting import registry as weighters
from bdw.weighting.weighters.protocol import Learns
from sweeps.results.figures import draw_against_costs
from sweeps.runner.comparison import Cell
from sweeps.runner.experiment import Experiment
from sweeps.study.tables import run_path

Trials = pd.DataFrame
Summary = pd.DataFrame
COSTS = {"wall_seconds": "front_by_seconds", "target_instances_seen": "front_by_target_images"}
"""Cost -> column that says whether the design is on the Pareto front: no other one is both cheaper and better on
validation."""
SIZES = ("ways", "shots", "queries", "meta_every")
CAPTION = (
    "Validation {label} on {target}, mean over {seeds} with its standard error, against what a run costs: wall-clock "
    "seconds of all it does (other trials ran beside it), and target images that passed the meta-loss. K, N and Q are "
    "an episode's ways, shots and queries; weights are learnt at every step, or at every so many. On the front are the "
    "designs that no other one beats in both: up and to the left is better, but differences within the bars say little."
)


def write(experiment: Experiment, cells: Sequence[Cell], *, baseline: str, console: Console) -> None:
    """meta_batch_design.csv and .md, accuracy_against_cost_TARGET.png, and figures.json for the report.

    Args:
        experiment: its folder holds trials.csv.
        cells: those that are complete.
        baseline: name of the method that draws no meta-batches.
        console: gets the table, and a line for each design that lacks seeds and so is in no picture.
    """
    folder, measure = experiment.paths.path, experiment.measure
    summary = summarise(pd.read_csv(folder / "trials.csv"), cells, measure)
    write_text(folder / "meta_batch_design.csv", summary.to_csv(index=False))
    write_text(folder / "meta_batch_design.md", markdown(summary, measure) + "\n")
    entries = []
    for target, rows in summary.groupby("target", sort=False):
        console.print(terminal_table(rows, str(target), measure))
        num_seeds = rows["num_seeds"].max()
        for name in rows["method"][rows["num_seeds"] < num_seeds]:
            console.print(f"left out of the picture: {name} on {target}, which lacks seeds", soft_wrap=True)
        whole = rows[rows["num_seeds"] == num_seeds].rename(columns={"method": "label", "validation_mean": "value"})
        whole = whole.assign(error=whole["validation_sd"] / np.sqrt(whole["num_seeds"]))
        picture = folder / f"accuracy_against_cost_{re.sub(r'[^A-Za-z0-9.]+', '-', str(target))}.png"
        draw_against_costs(whole, tuple(COSTS), measure, baseline, picture)
        caption = CAPTION.format(label=measure.label, target=target, seeds=plural(int(num_seeds), "seed"))
        entries.append(
            {"file": picture.name, "alternative": f"{measure.label} against cost, target {target}", "caption": caption}
        )
    write_text(folder / FIGURES, json.dumps({"Accuracy against cost": entries}, indent=2) + "\n")


def summarise(trials: Trials, cells: Sequence[Cell], measure: Measure) -> Summary:
    """A row for each method on each target, the cheapest first by target images.

    Args:
        trials: trials.csv.
        cells: which of its runs count, and their designs.
        measure: of the scores.

    Returns:
        DataFrame with the columns target, method, ways, shots, queries, meta_every (those empty for a method that
        learns no weights), num_seeds, test_mean, test_sd, validation_mean, validation_sd (as the measure has them;
        sample standard deviation, NaN for a single seed), the means wall_seconds, target_instances_seen and
        kept_fraction of a run, and whether the row is on the fronts of validation score against costs, among rows
        with as many seeds.
    """
    wanted = pd.DataFrame([{"target": cell.domain, "run": run_path(cell.run), **_sizes(cell)} for cell in cells])
    rows = wanted.merge(trials[trials["state"] == "complete"], on="run")
    # A method's runs on a target share their design.
    grouped = rows.groupby(["target", "method"], sort=False)
    summary = grouped.agg(
        **{name: (name, "first") for name in SIZES},
        num_seeds=("seed", "count"),
        test_mean=("test_score", "mean"),
        test_sd=("test_score", "std"),
        validation_mean=("validation_score", "mean"),
        validation_sd=("validation_score", "std"),
        **{name: (name, "mean") for name in (*COSTS, "kept_fraction")},
    ).reset_index()
    summary[list(SIZES)] = summary[list(SIZES)].astype("Int64")
    for cost, column in COSTS.items():
        summary[column] = False
        for _, own in summary.groupby("target"):
            whole = own[own["num_seeds"] == own["num_seeds"].max()]
            front = pareto_front(whole["validation_mean"], whole[cost], higher_is_better=measure.higher_is_better)
            summary.loc[front.index, column] = front
    order = {target: i for i, target in enumerate(dict.fromkeys(cell.domain for cell in cells))}
    keys = summary.assign(_target=summary["target"].map(order))
    return keys.sort_values(["_target", "target_instances_seen"], kind="stable", ignore_index=True).drop(
        columns="_target"
    )


def markdown(summary: Summary, measure: Measure) -> str:
    """A Markdown table for each target, and a legend."""
    seeds = plural(int(summary["num_seeds"].max()), "seed")
    parts = [
        f"{measure.heading.capitalize()}: mean ± sample standard deviation over {seeds}; costs and the kept share are "
        "means over the same runs. * marks the Pareto front of validation score against the cost it stands at."
    ]
    for target, rows in summary.groupby("target", sort=False):
        lines = [f"| {' | '.join(_HEADINGS)} |", "|---" + "|---:" * (len(_HEADINGS) - 1) + "|"]
        lines += [f"| {' | '.join(map(str.rstrip, cells))} |" for cells in _rows(rows, measure)]
        parts += [f"**{target}**", "\n".join(lines)]
    return "\n\n".join(parts)


def terminal_table(summary: Summary, target: str, measure: Measure) -> Table:
    """The rows of one target for the terminal."""
    table = Table(
        title=f"{measure.heading} on {target}, {plural(int(summary['num_seeds'].max()), 'seed')}",
        caption="* on the front of validation score against this cost",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for heading in _HEADINGS:
        # Two short lines, so that nothing is cut off at 80 columns.
        justify: Literal["left", "right"] = "left" if heading == "design" else "right"
        table.add_column(heading.replace(" ", "\n"), justify=justify, no_wrap=True)
    for cells in _rows(summary, measure):
        table.add_row(*cells)
    return table


_HEADINGS = ("design", "test", "validation", "seconds", "target images", "kept (%)")


def _rows(summary: Summary, measure: Measure) -> list[tuple[str, ...]]:
    most = summary["num_seeds"].max()
    return [_row(value, most, measure) for value in summary.to_dict("records")]


def _row(value: Mapping[Hashable, Any], most_seeds: int, measure: Measure) -> tuple[str, ...]:
    fewer = f" ({plural(value['num_seeds'], 'seed')})" if value["num_seeds"] < most_seeds else ""
    scores = (_score(value[f"{split}_mean"], value[f"{split}_sd"], measure) for split in ("test", "validation"))
    costs = (
        f"{value[cost]:,.{digits}f}{' *' if value[front] else '  '}"
        for (cost, front), digits in zip(COSTS.items(), (1, 0), strict=True)
    )
    return (f"{value['method']}{fewer}", *scores, *costs, f"{100 * value['kept_fraction']:.0f}")


def _score(mean: float, deviation: float, measure: Measure) -> str:
    spread = "" if pd.isna(deviation) else f" ± {measure.factor * deviation:.{measure.decimals}f}"
    return f"{measure.factor * mean:.{measure.decimals}f}{spread}"


def _sizes(cell: Cell) -> dict[str, int | None]:
    config = cell.config
    if weighters.learns(config.weighter) is Learns.NEVER:
        return dict.fromkeys(SIZES)
    meta = config.meta
    return {
        "ways": meta.ways,
        "shots": meta.shots,
        "queries": meta.queries,
        "meta_every": config.weighter.meta_every,
    }
