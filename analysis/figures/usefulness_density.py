"""How many images have which Beta distribution: density of (log a, log b), the paper's Figure 1b."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from scipy.special import betainc

from analysis.errors import OptionError, shown
from analysis.figures.figure_style import (
    BLACK,
    BLUE,
    COLUMN_WIDTH,
    GREY,
    VERMILLION,
    figure_of,
    new_figure,
    require_width,
    size_in_points,
    style_axes,
)
from analysis.figures.label_text import text_height, text_width
from analysis.figures.legend_above import draw_legend, lay_out_legend
from analysis.instance_weights import checked_weights

Floats = npt.NDArray[np.float64]

_FONT_SIZE = 7.5
_NUM_BINS = 50
_LEFT, _BELOW, _RIGHT = 46.0, 30.0, 50.0
"""Points around the axes; to the right stand the colour bars."""
_KEPT = LinearSegmentedColormap.from_list("kept", ["#cfe3f1", BLUE, "#06263d"])
_PRUNED = LinearSegmentedColormap.from_list("pruned", ["#f8dcc8", VERMILLION, "#4a2000"])
# Distances from a mean of 1/2 at which lines of equal mean lie, from the widest picture to the narrowest.
_GUIDES = ((0.47, 0.499), (0.4, 0.49), (0.2, 0.4), *((d / 2, d) for p in range(1, 7) for d in (2 / 10**p, 1 / 10**p)))


@dataclass(frozen=True, kw_only=True)
class UsefulnessDensityArtists:
    """Everything that `draw_usefulness_density` drew."""

    figure: Figure
    axes: Axes
    kept: PolyCollection
    """One square or triangle for each cell with kept images; its array holds their numbers."""
    pruned: PolyCollection
    """The same for pruned images; a cell with both is cut along its diagonal."""
    edges: Floats
    """Edges of the cells in both directions: natural logarithms."""
    means: dict[float, Line2D]
    """Lines of equal mean weight a / (a + b), by mean."""
    mean_labels: tuple[Text, ...]
    boundary: QuadContourSet | None
    """Where P(w < cdf_threshold) = density_threshold; None without a rule or where it lies outside the picture."""
    legend: Legend


def draw_usefulness_density(
    weights: pd.DataFrame,
    *,
    cdf_threshold: float | None = None,
    density_threshold: float | None = None,
    width: float = COLUMN_WIDTH,
    ax: Axes | None = None,
) -> UsefulnessDensityArtists:
    """Draw a two-dimensional histogram of the Beta parameters of all images, kept and pruned ones in two colours.

    Both axes span the same range, so that images of equal mean weight lie on diagonals. With a pruning rule, the line
    is drawn beyond which (upwards) an image is pruned: P(w < lambda) > rho for w ~ Beta(a, b). Images may lie on the
    wrong side: pruned ones come back under some settings, and a run keeps a least number of them.

    Args:
        weights: as `read_instance_weights` returns it: columns index, a, b, kept.
        cdf_threshold: lambda of the rule, in (0, 1); None for no line.
        density_threshold: rho of the rule, in (0, 1); None for no line.
        width: inches, where `ax` is None.
        ax: axes to draw into; the legend stands above, the colour bars to the right.

    Returns:
        the artists; `.figure` is what to save.

    Raises:
        AnalysisInputError: a table without the columns or with other things in them (see `checked_weights`); half a
            rule, or thresholds outside (0, 1).
    """
    require_width(width)
    rule = _rule(cdf_threshold, density_threshold)
    table = checked_weights(weights)
    log_a, log_b, kept = np.log(table["a"].to_numpy()), np.log(table["b"].to_numpy()), table["kept"].to_numpy()
    edges = _edges(np.concatenate([log_a, log_b]))
    counts = {
        is_kept: np.histogram2d(log_a[kept == is_kept], log_b[kept == is_kept], bins=[edges, edges])[0]
        for is_kept in (True, False)
    }
    boundary_shares = None if rule is None else _shares_below(edges, rule[0])
    has_boundary = (
        rule is not None
        and boundary_shares is not None
        and bool(boundary_shares[2].min() < rule[1] < boundary_shares[2].max())
    )
    handles: list[Artist] = [Patch(color=BLUE), Patch(color=VERMILLION)]
    names = [f"kept ({int(kept.sum()):,})", f"pruned ({int((~kept).sum()):,})"]
    handles.append(Line2D([], [], color=GREY, linewidth=0.7))
    names.append("equal mean weight")
    if has_boundary and rule is not None:
        handles.append(Line2D([], [], color=BLACK, linewidth=1.2, linestyle="--"))
        names.append(f"pruned above: P(w < {rule[0]:.3g}) > {rule[1]:.3g}")

    legend_left = 0.0
    if ax is None:
        legend_left = _LEFT - 3
        layout = lay_out_legend(names, width=72 * width - 6, font_size=_FONT_SIZE)
        side = 72 * width - _LEFT - _RIGHT
        height = _BELOW + side + layout.height + 3
        frame = (_LEFT / (72 * width), _BELOW / height, side / (72 * width), side / height)
        ax = new_figure(width, height / 72).add_axes(frame)
    else:
        room = size_in_points(ax)[0]
        layout = lay_out_legend(names, width=room, font_size=_FONT_SIZE)

    norm = LogNorm(vmin=1, vmax=max(2.0, float(max(part.max() for part in counts.values()))))
    cells = {is_kept: _cells(edges, counts, is_kept, norm) for is_kept in (True, False)}
    for part in cells.values():
        ax.add_collection(part, autolim=False)
    means, mean_labels = _draw_means(ax, float(edges[0]), float(edges[-1]))
    boundary = None
    if has_boundary and rule is not None and boundary_shares is not None:
        boundary = ax.contour(*boundary_shares, levels=[rule[1]], colors=BLACK, linewidths=1.2, linestyles="--")
    style_axes(ax, "log a", "log b", font_size=_FONT_SIZE)
    ax.grid(False)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(edges[0], edges[-1])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    _draw_colour_bars(ax, norm, with_pruned=not kept.all())
    return UsefulnessDensityArtists(
        figure=figure_of(ax),
        axes=ax,
        kept=cells[True],
        pruned=cells[False],
        edges=edges,
        means=means,
        mean_labels=mean_labels,
        boundary=boundary,
        legend=draw_legend(ax, handles, layout, left=legend_left),
    )


def _rule(cdf_threshold: float | None, density_threshold: float | None) -> tuple[float, float] | None:
    if cdf_threshold is None and density_threshold is None:
        return None
    checked = []
    for field, value in (("cdf_threshold", cdf_threshold), ("density_threshold", density_threshold)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
            raise OptionError(f"{field}: {shown(value)}; allowed: between 0 and 1, both thresholds or none")
        checked.append(float(value))
    return checked[0], checked[1]


def _edges(logs: Floats) -> Floats:
    """One range for both directions, with a margin, and never so narrow that rounding shows."""
    low, high = float(logs.min()), float(logs.max())
    half = max(0.54 * (high - low), 0.0108)
    return np.linspace((low + high) / 2 - half, (low + high) / 2 + half, _NUM_BINS + 1)


def _cells(edges: Floats, counts: dict[bool, Floats], is_kept: bool, norm: LogNorm) -> PolyCollection:
    own, other = counts[is_kept], counts[not is_kept]
    corners, numbers = [], []
    for i, j in zip(*np.nonzero(own), strict=True):
        left, right, bottom, top = edges[i], edges[i + 1], edges[j], edges[j + 1]
        # Of a cell with both, the lower right half is that of the kept ones, as their side of the boundary is.
        both = other[i, j] > 0
        upper = [] if both and is_kept else [(left, top)]
        lower = [] if both and not is_kept else [(right, bottom)]
        corners.append([(left, bottom), *lower, (right, top), *upper])
        numbers.append(own[i, j])
    cells = PolyCollection(
        corners,
        cmap=_KEPT if is_kept else _PRUNED,
        norm=norm,
        linewidths=0,
        antialiased=False,
        rasterized=True,
        zorder=2,
    )
    cells.set_array(np.asarray(numbers, dtype=float))
    return cells


def _shares_below(edges: Floats, cdf_threshold: float) -> tuple[Floats, Floats, Floats]:
    """Logarithms of a and of b, and the share of each density that lies below lambda, (200, 200)."""
    logs = np.linspace(edges[0], edges[-1], 200)
    return logs, logs, np.asarray(betainc(np.exp(logs)[None, :], np.exp(logs)[:, None], cdf_threshold))


def _draw_means(ax: Axes, low: float, high: float) -> tuple[dict[float, Line2D], tuple[Text, ...]]:
    """Lines log b = log a + log((1 - mean) / mean), labelled where they leave the picture."""
    span = high - low
    near, far = next((pair for pair in _GUIDES if _shift(0.5 - pair[1]) <= 0.8 * span), (None, None))
    means = [0.5] if near is None or far is None else [0.5 - far, 0.5 - near, 0.5, 0.5 + near, 0.5 + far]
    lines, labels = {}, []
    font = 0.85 * _FONT_SIZE
    side = size_in_points(ax)[0]
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    for mean in (round(mean, 9) for mean in means):
        shift = _shift(mean)
        (lines[mean],) = ax.plot([low, high], [low + shift, high + shift], color=GREY, linewidth=0.7, zorder=3)
        # Where the line leaves the picture, just inside.
        half_width, half_height = (size / 2 + 2 for size in (text_width(f"{mean:g}", font), text_height("", font)))
        x = high - half_width * span / side if shift < 0 else high - half_height * span / side - shift
        labels.append(ax.text(x, x + shift, f"{mean:g}", fontsize=font, ha="center", va="center", bbox=box, zorder=5))
    return lines, tuple(labels)


def _shift(mean: float) -> float:
    return math.log((1 - mean) / mean)


def _draw_colour_bars(ax: Axes, norm: LogNorm, *, with_pruned: bool) -> None:
    maps = [_KEPT, _PRUNED] if with_pruned else [_KEPT]
    figure = figure_of(ax)
    point = figure.dpi / 72 / float(ax.get_window_extent().width)
    for i, colours in enumerate(maps):
        bar_axes = ax.inset_axes((1 + (5 + 7 * i) * point, 0.1, 6 * point, 0.8))
        bar = figure.colorbar(ScalarMappable(norm, colours), cax=bar_axes)
        bar.outline.set_visible(False)
        is_last = i == len(maps) - 1
        bar_axes.yaxis.set_major_formatter(FuncFormatter(_short) if is_last else NullFormatter())
        bar_axes.yaxis.set_minor_formatter(NullFormatter())
        bar_axes.tick_params(labelsize=0.85 * _FONT_SIZE, length=2 if is_last else 0, which="major", color=GREY)
        bar_axes.tick_params(length=0, which="minor")
        if is_last:
            bar_axes.set_ylabel("images in a cell", fontsize=0.85 * _FONT_SIZE)


def _short(value: float, _: object) -> str:
    return f"{value:g}" if value < 1000 else f"{value / 1000:,g}k"
