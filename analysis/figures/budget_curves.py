"""Scores at equal budget: the mean best validation score against images and against seconds, method by method."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import EngFormatter, MaxNLocator

from analysis.curves_table import COSTS, checked_curves, require_method
from analysis.errors import OptionError, listing
from analysis.figures.drop_marks import DropMark, draw_drop_marks
from analysis.figures.figure_style import (
    BLACK,
    GREY,
    MOST_SERIES,
    figure_of,
    new_figure,
    series_style,
    style_axes,
)
from analysis.figures.legend_above import draw_legend, lay_out_legend
from analysis.statistics.mean_curves import MeanCurve, final_scores, mean_curves
from analysis.statistics.time_to_score import KINDS, TimeToScore, time_to_score

X_LABELS = {"instances_seen": "source images trained on", "wall_seconds": "wall-clock seconds"}
"""Axis labels of the costs."""
LEAST_MARKED = 1.05
"""Ratios up to this get no mark: they are hardly sooner."""

_FONT_SIZE = 8.0
_WIDTH, _AXES_HEIGHT, _BELOW, _LEFT, _RIGHT, _GAP = 6.9 * 72, 172.0, 30.0, 40.0, 10.0, 44.0
"""Points."""


@dataclass(frozen=True, kw_only=True)
class BudgetCurvesArtists:
    """Everything that `draw_budget_curves` drew; mappings are by panel (`COSTS`), then by method."""

    figure: Figure
    axes: Mapping[str, Axes]
    lines: Mapping[str, Mapping[str, Line2D]]
    bands: Mapping[str, Mapping[str, PolyCollection]]
    levels: Mapping[str, Line2D]
    """By panel: the level line at the baseline's final mean score."""
    marks: Mapping[str, Mapping[str, Text]]
    """The texts such as "2.4× sooner", at the median method's cost of reaching the baseline's final score."""
    legend: Legend
    times: TimeToScore
    """The numbers behind the marks, with their intervals."""


def draw_budget_curves(
    curves: pd.DataFrame,
    *,
    baseline: str,
    higher_is_better: bool,
    value_label: str,
    percent: bool = False,
    oracles: Collection[str] = (),
    axes: tuple[Axes, Axes] | None = None,
) -> BudgetCurvesArtists:
    """Draw the best validation score so far against images and against seconds, one line a method.

    A line is the mean over domains of the means over seeds, over the costs that all runs of the method cover. Its band
    is a 95 % interval over the domains' differences to the baseline's final scores (see `mean_curves`): easy and hard
    domains do not widen it. The grey level line is the baseline's final score. A mark on it stands at the cost at
    which the median domain's run of a method reached that score (see `time_to_score`), with how much sooner that is
    than the baseline's whole budget. Methods that are not sooner, or fail to on half of the domains, have none.

    Args:
        curves: one row per evaluation (see `checked_curves`).
        baseline: name of the method to compare with; its line is grey.
        higher_is_better: direction of best_value.
        value_label: of the vertical axis, with its unit, such as "validation accuracy (%)".
        percent: show scores times 100.
        oracles: names of methods that know what no real one can; their lines are dashed and black.
        axes: for images and for seconds, of their final size; the legend stands above both. None makes a figure of 6.9
            inches.

    Returns:
        the artists; `.figure` is what to save.

    Raises:
        OptionError: a baseline or an oracle without rows; more methods than can be told apart.
        AnalysisInputError: as `checked_curves`.
    """
    table = checked_curves(curves)
    require_method(table, baseline)
    for name in oracles:
        require_method(table, name, "oracles")
    table = table.assign(best_value=table["best_value"] * (100.0 if percent else 1.0))
    times = time_to_score(table, baseline=baseline, higher_is_better=higher_is_better)
    methods = _in_drawing_order(table, baseline, oracles)
    styles = _styles(methods, baseline, oracles)
    if axes is None:
        axes = _new_axes(methods)
    first, last = (ax.get_window_extent() for ax in axes)
    room = 72 * (last.x1 - first.x0) / figure_of(axes[0]).dpi
    layout = lay_out_legend(methods, width=room, font_size=_FONT_SIZE)
    panels = dict(zip(COSTS, axes, strict=True))
    lines, bands, levels, marks = {}, {}, {}, {}
    level = float(np.mean(list(final_scores(table, baseline).values())))
    means = {cost: mean_curves(table, cost=cost, relative_to=baseline) for cost in panels}
    limits = _limits(means[COSTS[0]], baseline, level, higher_is_better=higher_is_better)
    for cost, ax in panels.items():
        lines[cost], bands[cost] = _draw_lines(ax, means[cost], methods, styles)
        levels[cost] = ax.axhline(level, color=GREY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1.5)
        _style(ax, cost, value_label if cost == COSTS[0] else "")
        ax.set_ylim(limits)
        ends = [float(curve.cost[-1]) for curve in means[cost].values()]
        ax.set_xlim(0, 1.02 * max([*ends, 1e-9]))
        wanted = _marks(times, cost, table, level, styles)
        marks[cost] = draw_drop_marks(ax, wanted, font_size=_FONT_SIZE, upwards=not higher_is_better)
    legend = draw_legend(axes[0], [Line2D([], [], **styles[name]) for name in methods], layout)
    return BudgetCurvesArtists(
        figure=figure_of(axes[0]),
        axes=panels,
        lines=lines,
        bands=bands,
        levels=levels,
        marks=marks,
        legend=legend,
        times=times,
    )


def _in_drawing_order(table: pd.DataFrame, baseline: str, oracles: Collection[str]) -> list[str]:
    methods = list(dict.fromkeys(table["method"]))
    if len(methods) > MOST_SERIES:
        raise OptionError(f"curves: {len(methods)} methods; allowed: at most {MOST_SERIES}, more look alike")
    if baseline in oracles:
        raise OptionError(f"oracles: {listing(oracles)} holds the baseline; allowed: other methods")
    return [*(name for name in methods if name not in oracles), *(name for name in methods if name in oracles)]


def _styles(methods: list[str], baseline: str, oracles: Collection[str]) -> dict[str, dict[str, Any]]:
    """How each method's line is drawn: the baseline grey, oracles black and dashed, the others by their position."""
    styles: dict[str, dict[str, Any]] = {}
    position = 0
    for name in methods:
        if name == baseline:
            styles[name] = {"color": GREY, "linestyle": "-", "linewidth": 1.6}
        elif name in oracles:
            styles[name] = {"color": BLACK, "linestyle": (0, (4, 1.5)), "linewidth": 1.1}
        else:
            # Black is the oracles'.
            while (style := series_style(position)).colour == BLACK:
                position += 1
            position += 1
            styles[name] = {
                "color": style.colour,
                "linestyle": (0, style.dashes) if style.dashes else "-",
                "linewidth": 1.3,
            }
    return styles


def _new_axes(methods: list[str]) -> tuple[Axes, Axes]:
    layout = lay_out_legend(methods, width=_WIDTH - _LEFT - _RIGHT, font_size=_FONT_SIZE)
    height = _BELOW + _AXES_HEIGHT + layout.height + 3
    figure = new_figure(_WIDTH / 72, height / 72)
    width = (_WIDTH - _LEFT - _GAP - _RIGHT) / 2
    first, second = (
        figure.add_axes((left / _WIDTH, _BELOW / height, width / _WIDTH, _AXES_HEIGHT / height))
        for left in (_LEFT, _LEFT + width + _GAP)
    )
    return first, second


def _draw_lines(
    ax: Axes, found: dict[str, MeanCurve], methods: list[str], styles: dict[str, dict[str, Any]]
) -> tuple[dict[str, Line2D], dict[str, PolyCollection]]:
    lines: dict[str, Line2D] = {}
    bands: dict[str, PolyCollection] = {}
    for name in methods:
        curve = found.get(name)
        if curve is None:
            continue
        if curve.low is not None and curve.high is not None:
            bands[name] = ax.fill_between(
                curve.cost, curve.low, curve.high, color=styles[name]["color"], alpha=0.1, linewidth=0
            )
        lines[name] = ax.plot(curve.cost, curve.mean, zorder=3, **styles[name])[0]
    return lines, bands


def _style(ax: Axes, cost: str, value_label: str) -> None:
    style_axes(ax, X_LABELS[cost], value_label, font_size=_FONT_SIZE)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))


def _limits(found: dict[str, MeanCurve], baseline: str, level: float, *, higher_is_better: bool) -> tuple[float, float]:
    """Limits of the scores' axis, from the baseline's score after a fifth of its budget on: the steep part before it
    tells little."""
    sign = 1.0 if higher_is_better else -1.0
    ends = [sign * level, *(sign * float(curve.mean[-1]) for curve in found.values())]
    lowest, highest = min(ends), max(ends)
    if baseline in found:
        start = found[baseline]
        lowest = min(lowest, sign * float(start.mean[np.searchsorted(start.cost, 0.2 * start.cost[-1])]))
    margin = 0.08 * ((highest - lowest) or abs(highest) or 1.0)
    low, high = sorted((sign * (lowest - margin), sign * (highest + margin)))
    return low, high


def _marks(
    times: TimeToScore, cost: str, table: pd.DataFrame, level: float, styles: dict[str, dict[str, Any]]
) -> dict[str, DropMark]:
    kind = next(kind for kind, column in KINDS.items() if column == cost)
    own = table[table["method"] == times.baseline]
    budget = float(own.groupby(["domain", "seed"])[cost].last().groupby(level="domain").mean().mean())
    wanted = {}
    for name, ratio in times.summary[f"{kind}_ratio"].items():
        if name != times.baseline and ratio > LEAST_MARKED and math.isfinite(ratio):
            text = f"{ratio:.1f}× sooner" if ratio < 10 else f"{ratio:.0f}× sooner"
            wanted[str(name)] = DropMark(budget / ratio, level, text, styles[str(name)]["color"])
    return wanted
