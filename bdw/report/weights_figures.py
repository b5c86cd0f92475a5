"""The learnt weights as pictures: the paper's Figure 1a (mean weights) and 1b (density of the two parameters)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator
from scipy.special import betainc

from bdw.report.figure import BLUE, FAINT, INK, JUNK_COLOURS, PAPER, VERMILION, new_axes

NUM_BINS = 40
GUIDE_MEANS = (
    (0.1, 0.25, 0.5, 0.75, 0.9),
    (0.1, 0.5, 0.9),
    (0.3, 0.4, 0.5, 0.6, 0.7),
    (0.4, 0.45, 0.5, 0.55, 0.6),
    (0.45, 0.475, 0.5, 0.525, 0.55),
    (0.49, 0.495, 0.5, 0.505, 0.51),
    (0.495, 0.4975, 0.5, 0.5025, 0.505),
    (0.499, 0.4995, 0.5, 0.5005, 0.501),
)
"""Mean weights that get a guide line; the first set whose lines are neither outside the picture nor too close."""
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
MARKERS = ("s", "^", "D", "v", "P")
NARROWEST = 1e-3
"""Decades of the two parameters to either side of the middle: less is never shown."""
NARROW = 0.4
"""Mean weights that span less than this are drawn on their own range instead of 0 to 1."""


@dataclass(frozen=True)
class PruningRule:
    """Prune once more than `density_threshold` (rho) of an image's Beta density lies below `cdf_threshold` (lambda)."""

    cdf_threshold: float
    density_threshold: float


def histogram(means: npt.ArrayLike, *, mark_start: bool = True) -> Figure:
    """Number of images by mean weight (Figure 1a); `mark_start`: a line at 1/2, where Beta weights begin."""
    values = np.asarray(means, dtype=np.float64)
    figure, axes = new_axes("mean weight of an image", "images", height=4.6)
    edges = _bin_edges(values)
    axes.hist(values, bins=edges.tolist(), color=BLUE)
    _finish(axes, edges, mark_start)
    return figure


def planted_histogram(means_by_group: Mapping[str, npt.ArrayLike], *, mark_start: bool = True) -> Figure:
    """Number of images by mean weight, the first group (useful) filled and every other group as an outline."""
    arrays = {title: np.asarray(means, dtype=np.float64) for title, means in means_by_group.items()}
    figure, axes = new_axes("mean weight of an image", "images", height=4.6)
    edges = _bin_edges(np.concatenate(list(arrays.values())))
    for position, (title, values) in enumerate(arrays.items()):
        label = f"{title}, {len(values):,}"
        if position == 0:
            axes.hist(values, bins=edges.tolist(), color=BLUE, alpha=0.55, label=label)
        else:
            style = LINE_STYLES[(position - 1) % len(LINE_STYLES)]
            colour = JUNK_COLOURS[(position - 1) % len(JUNK_COLOURS)]
            axes.hist(
                values, bins=edges.tolist(), histtype="step", color=colour, linestyle=style, linewidth=2, label=label
            )
    _finish(axes, edges, mark_start)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=10, labelcolor=INK)
    return figure


def density(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    rule: PruningRule | None = None,
    medians: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Number of images by (a, b) on logarithmic axes (Figure 1b).

    Grey lines join parameters of equal mean weight. With a rule, its boundary is drawn; medians (title -> (a, b)) are
    one marker a group.
    """
    log_a, log_b = (np.log10(np.asarray(x, dtype=np.float64)) for x in (a, b))
    figure, axes = new_axes("a", "b", height=4.6)
    low, high = _square_range(np.concatenate([log_a, log_b]))
    edges = np.linspace(low, high, 61)
    counts, _, _ = np.histogram2d(log_a, log_b, bins=[edges, edges])
    colours = LinearSegmentedColormap.from_list("ink", ["#cfe3f1", BLUE, "#062b45"])
    mesh = axes.pcolormesh(
        10**edges,
        10**edges,
        np.ma.masked_equal(counts.T, 0),
        cmap=colours,
        norm=LogNorm(vmin=1, vmax=max(2.0, float(counts.max()))),
        rasterized=True,
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(_plain_ticks(low, high)))
        axis.set_major_formatter(_PLAIN)
        axis.set_minor_locator(NullLocator())
    axes.grid(False)
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, shrink=0.85)
    bar.ax.yaxis.set_major_formatter(_PLAIN)
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.set_label("images", color=INK, fontsize=11)
    _draw_guides(axes, low, high)
    if rule is not None:
        _draw_boundary(axes, low, high, rule)
    for position, (title, (median_a, median_b)) in enumerate((medians or {}).items()):
        marker = "o" if position == 0 else MARKERS[(position - 1) % len(MARKERS)]
        colour = BLUE if position == 0 else JUNK_COLOURS[(position - 1) % len(JUNK_COLOURS)]
        axes.plot(
            [median_a], [median_b], marker, color=colour, markersize=9, markeredgecolor=PAPER, label=f"median, {title}"
        )
    axes.set_xlim(10**low, 10**high)
    axes.set_ylim(10**low, 10**high)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=10, labelcolor=INK)
    return figure


def can_show_density(a: npt.ArrayLike, b: npt.ArrayLike) -> bool:
    """Whether parameters differ by so much that their density is more than a dot: by 0.5 % at least."""
    logs = [np.log10(np.asarray(x, dtype=np.float64)) for x in (a, b)]
    return max(float(np.ptp(log)) for log in logs) > 2 * NARROWEST


def _bin_edges(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    if high - low >= NARROW:
        return np.linspace(0.0, max(1.0, high), NUM_BINS + 1)
    margin = 0.05 * (high - low) or 1e-3
    return np.linspace(max(0.0, low - margin), max(high, min(1.0, high + margin)), NUM_BINS + 1)


def _finish(axes: Axes, edges: npt.NDArray[np.float64], mark_start: bool) -> None:
    """The axis' range and, if asked for, a dotted line at 1/2, the mean of the prior that every image starts from."""
    axes.grid(False, axis="x")
    axes.set_xlim(edges[0], edges[-1])
    if edges[-1] - edges[0] < NARROW:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.7g}"))
    if mark_start and edges[0] <= 0.5 <= edges[-1]:
        axes.axvline(0.5, color=INK, linestyle=":", linewidth=1.2)


def _square_range(logs: npt.NDArray[np.float64]) -> tuple[float, float]:
    """One range for both axes, so that equal means lie on diagonals; never narrower than 0.5 %."""
    low, high = float(logs.min()), float(logs.max())
    middle, half = (low + high) / 2, max((high - low) / 2 * 1.08, NARROWEST)
    return middle - half, middle + half


def _plain_ticks(low: float, high: float) -> list[float]:
    """Round numbers between 10**low and 10**high: powers of ten where there are enough, finer ones where not."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    for digits in ((1,), (1, 2, 5)):
        ticks = [digit * 10.0**power for power in powers for digit in digits]
        inside = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(inside) >= 3:
            return inside
    spaced = MaxNLocator(5).tick_values(10**low, 10**high)
    return [float(tick) for tick in spaced if 10**low <= tick <= 10**high]


def _log_odds(mean: float) -> float:
    """log10(b / a) of a mean weight: how far its guide line lies above the diagonal."""
    return math.log10((1 - mean) / mean)


def _guide_means(width: float) -> tuple[float, ...]:
    """The guides for a picture that is `width` decades wide: the coarsest set that fits, else the diagonal alone."""
    for means in GUIDE_MEANS:
        gaps = -np.diff([_log_odds(mean) for mean in means])
        if gaps.min() >= 0.09 * width and abs(_log_odds(means[0])) <= 0.9 * width:
            return means
    return (0.5,)


def _draw_guides(axes: Axes, low: float, high: float) -> None:
    ends = np.array([low, high])
    for mean in _guide_means(high - low):
        shift = _log_odds(mean)
        axes.plot(10**ends, 10 ** (ends + shift), color="#8a9197", linewidth=0.9, zorder=1.5)
        # The label sits where the line leaves the square, at the top for small means and at the right for large ones.
        x, y = (high - shift, high) if shift >= 0 else (high, high + shift)
        inset = 0.035 * (high - low)
        axes.text(
            10 ** (x - inset),
            10 ** (y - inset),
            f"{mean:g}",
            color=INK,
            fontsize=9,
            ha="center",
            va="center",
            bbox={"facecolor": PAPER, "edgecolor": FAINT, "pad": 1.5, "linewidth": 0.6},
        )


def _draw_boundary(axes: Axes, low: float, high: float, rule: PruningRule) -> None:
    steps = 10 ** np.linspace(low, high, 160)
    mass_below = betainc(steps[None, :], steps[:, None], rule.cdf_threshold)
    if not mass_below.min() < rule.density_threshold < mass_below.max():
        return
    axes.contour(steps, steps, mass_below, levels=[rule.density_threshold], colors=[VERMILION], linewidths=1.8)
    axes.plot([], [], color=VERMILION, linewidth=1.8, label="pruned above this line")
