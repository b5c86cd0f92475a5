"""Accuracy against cost: which trials are worth their price?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import EngFormatter, MaxNLocator

from analysis.errors import ColumnsError, NotFiniteError, NotNumericError, OptionError, listing, shown
from analysis.figures.figure_style import BLUE, COLUMN_WIDTH, GREY, SKY, VERMILLION, figure_of, new_figure, style_axes
from analysis.figures.label_placement import Label, place_labels
from analysis.results_table import domain_means, metric_direction, numbers, rows_of_metric
from analysis.statistics.hypervolume import (
    ReferencePoint,
    dominated_steps,
    hypervolume,
    require_reference,
    worst_corner,
)

COST_LABELS = {
    "wall_seconds": "wall-clock time (s)",
    "instances_seen": "source instances seen (number)",
    "target_instances_seen": "target images seen (number)",
    "kept_fraction": "share of the source kept (0 to 1)",
}
"""Axis labels, with units, for the cost columns of the results table."""

_FONT_SIZE = 7.0


@dataclass(frozen=True, kw_only=True)
class ParetoArtists:
    """Everything that `draw_pareto` drew."""

    figure: Figure
    axes: Axes
    front: tuple[str, ...]
    """Names of the points on the front, cheapest first."""
    front_line: Line2D
    """The staircase through the front."""
    markers: dict[str, PathCollection]
    """The points by kind: "front", "dominated", "baseline"; kinds without points are absent."""
    labels: tuple[Text, ...]
    """Names of points, in the order in which they were placed: front, baselines, the others if asked for."""
    unlabelled: tuple[str, ...]
    """Names that should have been written but found no free place."""
    legend: Legend
    hypervolume: float | None = None
    """In units of value times cost; None unless the dominated area was asked for."""
    reference: ReferencePoint | None = None
    """The corner up to which the area was measured."""
    area: PolyCollection | None = None
    """The dominated area, shaded."""
    area_label: Text | None = None
    """The hyper-volume and its reference point in digits, above the axes."""


def pareto_front(value: pd.Series[float], cost: pd.Series[float], *, higher_is_better: bool) -> pd.Series[bool]:
    """Mark the points that no other point beats.

    A point is beaten if another is at least as good and at least as cheap, and better in one of the two. Points that
    agree in both stand or fall together.

    Args:
        value: (n,), finite.
        cost: (n,), finite, lower is better, same index.
        higher_is_better: direction of `value`.

    Returns:
        (n,) of bool with the index of `value`.
    """
    gain = value.to_numpy(dtype=float) * (1 if higher_is_better else -1)
    price = cost.to_numpy(dtype=float)
    on_front = np.zeros(len(gain), dtype=bool)
    best = -np.inf
    # From cheap to dear, the better first: a point that improves on all cheaper ones is on the front.
    order = np.lexsort((-gain, price))
    for i, position in enumerate(order):
        equal = i > 0 and (price[position], gain[position]) == (price[order[i - 1]], gain[order[i - 1]])
        on_front[position] = on_front[order[i - 1]] if equal else gain[position] > best
        best = max(best, gain[position])
    return pd.Series(on_front, index=value.index, dtype=bool)


def pareto_points(results: pd.DataFrame, *, cost: str, metric: str | None = None) -> pd.DataFrame:
    """Turn a results table into points: one for each method, averaged over seeds, then over domains.

    Args:
        results: long results table.
        cost: the column that says what a run cost, such as wall_seconds or instances_seen.
        metric: which metric; None where the table holds exactly one.

    Returns:
        DataFrame with the columns label, value, cost; `attrs` holds metric (str) and higher_is_better (bool).

    Raises:
        AnalysisInputError: a missing (method, domain) cell would make averages incomparable; otherwise as `compare`.
    """
    rows = rows_of_metric(results, metric)
    rows = rows.assign(**{cost: numbers(rows, cost)})
    values, costs = domain_means(rows, "value"), domain_means(rows, cost)
    points = pd.DataFrame({"label": values.columns, "value": values.mean().to_numpy(), "cost": costs.mean().to_numpy()})
    points.attrs.update(metric=str(rows["metric"].iloc[0]), higher_is_better=metric_direction(rows))
    return points


def draw_pareto(
    points: pd.DataFrame,
    *,
    higher_is_better: bool,
    value_label: str,
    cost_label: str,
    baseline: str | Collection[str] = (),
    label_all: bool = False,
    shade_hypervolume: bool = False,
    reference: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> ParetoArtists:
    """Draw value against cost with the Pareto front marked.

    For two kinds of cost, call it twice with two axes of one figure.

    Args:
        points: one row a point; columns `label` (or `method`), `value`, `cost`.
        higher_is_better: direction of `value`; lower costs are always better.
        value_label: of the vertical axis, with its unit, such as "accuracy (%)".
        cost_label: of the horizontal axis, with its unit; `COST_LABELS` has those of the results table.
        baseline: name or names of the points to compare with, drawn as diamonds.
        label_all: write every point's name, not only those of the front and the baselines.
        shade_hypervolume: shade what the front dominates, and write its area and the reference point above.
        reference: cost and value of the corner up to which that area reaches. None: the highest cost and the worst
            value among the points; give one where areas of several figures are to be compared.
        ax: axes to draw into, laid out for their present size. None makes a figure of one column's width.

    Returns:
        the artists. Labels overlap neither each other nor points; one without a free place is listed in `unlabelled`.

    Raises:
        AnalysisInputError: absent columns, no points, scores that are not finite numbers, an unknown baseline, a
            reference that is not two finite numbers.
    """
    points = _checked(points)
    baselines = {baseline} if isinstance(baseline, str) else set(baseline)
    unknown = sorted(baselines - set(points["label"]))
    if unknown:
        raise OptionError(f"baseline: {listing(unknown)} not among the points; allowed: {listing(points['label'])}")
    corner = None
    if shade_hypervolume:
        worst = worst_corner(points["value"], points["cost"], higher_is_better=higher_is_better)
        corner = worst if reference is None else require_reference(reference)
    if ax is None:
        height = 2.6 if corner is None else 2.8
        # The margins in inches are the same; two lines above the legend say what is shaded.
        ax = new_figure(COLUMN_WIDTH, height).add_axes((0.17, 0.416 / height, 0.79, 1.9 / height))
    figure = figure_of(ax)

    is_front = pareto_front(points["value"], points["cost"], higher_is_better=higher_is_better)
    is_baseline = points["label"].isin(baselines)
    front = points[is_front].sort_values(["cost", "label"])
    corners = front[["cost", "value"]].to_numpy(dtype=float)
    # Between two points of the front, the best that the lower cost buys is the cheaper point's value.
    staircase = np.repeat(corners, 2, axis=0)[1:].copy()
    staircase[1::2, 1] = staircase[:-1:2, 1]
    (front_line,) = ax.plot(*staircase.T, color=BLUE, linewidth=1, zorder=2)
    kinds = (
        ("dominated", ~is_front & ~is_baseline, "o", "white", GREY),
        ("front", is_front & ~is_baseline, "o", BLUE, BLUE),
        ("baseline", is_baseline, "D", VERMILLION, VERMILLION),
    )
    markers = {
        kind: ax.scatter(
            points["cost"][chosen],
            points["value"][chosen],
            s=16,
            marker=marker,
            facecolors=face,
            edgecolors=edge,
            zorder=3,
            label=kind,
        )
        for kind, chosen, marker, face, edge in kinds
        if chosen.any()
    }
    if "front" in markers:
        markers["front"].set_label("Pareto front")
    area = None if corner is None else _draw_area(ax, points, corner, higher_is_better=higher_is_better)
    _style_axes(ax, value_label, cost_label, points)
    legend = ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        frameon=False,
        fontsize=_FONT_SIZE,
        borderaxespad=0.2,
        handletextpad=0.1,
        columnspacing=1.0,
    )
    size, area_label = None, None
    if corner is not None:
        size = hypervolume(points["value"], points["cost"], higher_is_better=higher_is_better, reference=corner)
        area_label = _write_area(ax, size, corner, is_default=reference is None)
    others = points[~is_front & ~is_baseline] if label_all else points.iloc[:0]
    wanted = [
        Label(*where, reach)
        for group, reach in ((front, 150), (points[is_baseline & ~is_front], 150), (others, 30))
        for where in zip(group["label"].tolist(), group["cost"].tolist(), group["value"].tolist(), strict=True)
    ]
    labels, unlabelled = place_labels(
        ax,
        wanted,
        obstacles=points[["cost", "value"]].to_numpy(dtype=float),
        staircase=staircase,
        font_size=_FONT_SIZE,
    )
    return ParetoArtists(
        figure=figure,
        axes=ax,
        front=tuple(front["label"]),
        front_line=front_line,
        markers=markers,
        labels=labels,
        unlabelled=unlabelled,
        legend=legend,
        hypervolume=size,
        reference=corner,
        area=area,
        area_label=area_label,
    )


def _draw_area(ax: Axes, points: pd.DataFrame, corner: ReferencePoint, *, higher_is_better: bool) -> PolyCollection:
    steps = dominated_steps(points["value"], points["cost"], higher_is_better=higher_is_better, reference=corner)
    strips = [
        [(start, corner.value), (start, best), (end, best), (end, corner.value)] for start, end, best in steps.tolist()
    ]
    area = PolyCollection(strips, facecolors=SKY, alpha=0.25, edgecolors="none", zorder=0.5)
    # The corner belongs into the picture even where no point is near it.
    ax.update_datalim([corner])
    ax.add_collection(area, autolim=False)
    return area


def _write_area(ax: Axes, size: float, corner: ReferencePoint, *, is_default: bool) -> Text:
    reference = f"reference: ({corner.cost:.4g}, {corner.value:.4g})"
    return ax.annotate(
        f"shaded: hyper-volume {size:.4g}\n{reference}{', the worst seen' if is_default else ''}",
        (0, 1),
        xycoords="axes fraction",
        # Above the legend, which is one line high.
        xytext=(2, 2.1 * _FONT_SIZE),
        textcoords="offset points",
        fontsize=_FONT_SIZE,
        va="bottom",
        parse_math=False,
    )


def _checked(points: pd.DataFrame) -> pd.DataFrame:
    if "label" not in points.columns and "method" in points.columns:
        points = points.rename(columns={"method": "label"})
    absent = [column for column in ("label", "value", "cost") if column not in points.columns]
    if absent:
        raise ColumnsError(f"points: columns {listing(absent)} absent; present: {listing(points.columns) or 'none'}")
    if len(points) == 0:
        raise OptionError("points: 0 rows; allowed: at least 1")
    points = (
        points[["label", "value", "cost"]].reset_index(drop=True).assign(label=points["label"].astype(str).tolist())
    )
    for column in ("value", "cost"):
        converted = pd.to_numeric(points[column], errors="coerce").astype(float)
        for wrong, error in (
            (converted.isna() & points[column].notna(), NotNumericError),
            (~np.isfinite(converted), NotFiniteError),
        ):
            if wrong.any():
                row = points[wrong].iloc[0]
                raise error(f"points: {column} {shown(row[column])} of {row['label']}; allowed: finite numbers")
        points[column] = converted
    return points


def _style_axes(ax: Axes, value_label: str, cost_label: str, points: pd.DataFrame) -> None:
    style_axes(ax, cost_label, value_label, font_size=_FONT_SIZE)
    # Room around the points for their labels.
    ax.margins(x=0.12, y=0.18)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(6))
    for axis, column, longest in ((ax.xaxis, "cost", 1e5), (ax.yaxis, "value", 1e4)):
        if points[column].abs().max() >= longest:
            axis.set_major_formatter(EngFormatter(sep=" "))
