"""A sweep's pictures and what the statistics say: accuracy against cost, curves, and the methods' ranks."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from analysis import (
    COST_LABELS,
    AnalysisInputError,
    compare,
    describe,
    draw_budget_curves,
    draw_cd,
    draw_pareto,
    save_figure,
)
from analysis.figures.figure_style import LIGHT_GREY, new_figure
from bdw.evaluation import Measure
from bdw.storage.atomic_write import write_text

COSTS = ("wall_seconds", "instances_seen")
CURVES = "curves.png"
CURVES_CAPTION = (
    "The best validation score so far, mean over domains and seeds, as far as all runs of a method got. Bands are 95 % "
    "intervals over domains of the difference to {baseline}. The dotted level is the final score of {baseline}; a dot "
    "on it says when the median domain's runs of a method reached that score, against the whole budget of {baseline}. "
    "Methods without a dot were hardly sooner or did not reach it on half of the domains. Dashed lines are oracles."
)


def draw_trials(trials: pd.DataFrame, measure: Measure, baseline: str, path: Path) -> str | None:
    """pareto.png: validation score of the complete trials against seconds and against instances seen.

    The baseline is one point, the mean over its seeds. Pruned trials are left out: what they would have cost and
    reached is unknown. Returns why there is no picture, or None if there is one; an earlier picture is deleted in any
    case.
    """
    path.unlink(missing_ok=True)
    complete = trials[(trials["state"] == "complete") & trials["validation_score"].notna()]
    if len(complete) < 2:
        return f"{path.name}: {len(complete)} complete trials; a picture needs at least 2"
    points = complete.assign(
        label=complete["trial"].where(complete["method"] != baseline, baseline), value=complete["validation_score"]
    )
    points = points.groupby("label", sort=False, as_index=False)[["value", *COSTS]].mean()
    draw_against_costs(points, COSTS, measure, baseline, path)
    return None


def costs_that_differ(points: pd.DataFrame, costs: Sequence[str]) -> list[str]:
    """The costs in which the points differ by a hundredth or more of the largest: at an equal budget of images, not
    their number, since all points would stand above one another."""
    known = {cost: points[cost].dropna() for cost in costs}
    return [cost for cost, own in known.items() if len(own) and own.max() - own.min() >= 0.01 * own.abs().max() > 0]


def draw_against_costs(points: pd.DataFrame, costs: Sequence[str], measure: Measure, baseline: str, path: Path) -> None:
    """Validation scores against costs, side by side, each with its Pareto front; a cost that is the same for all points
    has no panel, unless it is so for all costs; then the first one has.

    Args:
        points: a row a point: `label`, `value` (a score as the measure has it), and the costs; `error`, if there is
            such a column, is drawn as a bar that reaches so far up and down from the value.
        costs: one or two columns of it.
        measure: of the scores.
        baseline: the label of the point to compare with, if there is one.
        path: of the picture; what was there is replaced.
    """
    drawn = costs_that_differ(points, costs) or list(costs[:1])
    width = 3.45 * len(drawn)
    figure = new_figure(width, 2.9)
    for i, cost in enumerate(drawn):
        ax = figure.add_axes(((0.52 + 3.45 * i) / width, 0.16, 2.79 / width, 0.72))
        if "error" in points:
            _draw_errors(ax, points, cost, measure)
        draw_pareto(
            points.assign(value=measure.factor * points["value"], cost=points[cost]),
            higher_is_better=measure.higher_is_better,
            value_label=f"validation {measure.heading}",
            cost_label=COST_LABELS[cost],
            baseline=baseline if (points["label"] == baseline).any() else (),
            ax=ax,
        )
    save_figure(figure, path)


def draw_curves(
    curves: pd.DataFrame, measure: Measure, baseline: str, oracles: Collection[str], path: Path
) -> str | None:
    """curves.png: validation score through training, against images and against seconds (see `draw_budget_curves`).

    Returns why there is no picture, or None if there is one; last time's is gone in any case.
    """
    path.unlink(missing_ok=True)
    try:
        drawn = draw_budget_curves(
            curves,
            baseline=baseline,
            higher_is_better=measure.higher_is_better,
            value_label=f"validation {measure.heading}",
            percent=measure.is_share,
            oracles=[name for name in oracles if (curves["method"] == name).any()],
        )
    except AnalysisInputError as error:
        return f"{path.name}: {error}"
    save_figure(drawn.figure, path)
    return None


def _draw_errors(ax: Axes, points: pd.DataFrame, cost: str, measure: Measure) -> None:
    known = points[points["error"].notna()]
    ax.errorbar(
        known[cost],
        measure.factor * known["value"],
        yerr=measure.factor * known["error"],
        fmt="none",
        ecolor=LIGHT_GREY,
        elinewidth=0.6,
        zorder=1,
    )


def draw_ranks(results: pd.DataFrame, folder: Path, *, measure: Measure, remark: str, suffix: str = "") -> str | None:
    """critical_difference.png and .pdf, and comparison.json with the verdict in words.

    `suffix` comes before the endings, where a sweep has diagrams of several measures.

    Returns why there is no diagram, or None if there is one; earlier files are deleted in any case.
    """
    diagrams = [folder / f"critical_difference{suffix}.{ending}" for ending in ("png", "pdf")]
    comparison_file = folder / f"comparison{suffix}.json"
    name = diagrams[0].name
    for path in (*diagrams, comparison_file):
        path.unlink(missing_ok=True)
    rows = results[results["metric"] == measure.name]
    domains, methods = rows["domain"].nunique(), rows["method"].nunique()
    if domains < 2 or methods < 2:
        return f"{name}: {methods} methods on {domains} domains; a comparison needs at least 2 of each"
    cells = rows.groupby(["method", "domain"]).ngroups
    if cells < domains * methods:
        return f"{name}: {domains * methods - cells} of {domains * methods} method-domain pairs failed"
    seeds = rows.groupby(["domain", "method"])["seed"].agg(frozenset)
    unequal = [str(domain) for domain, own in seeds.groupby(level="domain") if own.nunique() > 1]
    if unequal:
        return f"{name}: methods completed different seeds on {', '.join(unequal)}"
    try:
        comparison = compare(rows, higher_is_better=measure.higher_is_better)
    except AnalysisInputError as error:
        return f"{name}: {error}"
    verdict = "\n".join(filter(None, [describe(comparison), remark]))
    contents = {"metric": measure.name, "verdict": verdict, "remark": remark, **comparison.to_dict()}
    write_text(comparison_file, json.dumps(contents, indent=2) + "\n")
    diagram = draw_cd(comparison, title=f"{measure.label} on {domains} target domains")
    for path in diagrams:
        save_figure(diagram.figure, path)
    return None
