"""What every (lambda, rho) would have pruned and when, as a picture: a map over epochs and rho for each lambda."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bdw.diagnostics.replay import Replay, Thresholds
from bdw.report.figure import FAINT, INK, PAPER, VERMILION

COLUMNS = 4
COLOURS = "YlGnBu"
"""Pale is nothing pruned; hue and lightness both change, so that small shares can be told apart, too."""


def replay_map(replayed: Replay) -> Figure:
    """A panel for every lambda: epochs across, rho upwards, the colour is the share of the images pruned by then.

    The share after the last epoch is written beside each row, and a dot marks the epoch up to which a row is exact.
    Rows with lambda above rho, which no run may have, stay empty.
    """
    cuts, shares = replayed.cdf_thresholds, replayed.density_thresholds
    columns = min(COLUMNS, len(cuts))
    rows = math.ceil(len(cuts) / columns)
    height = max(2.0, 0.75 + 0.24 * len(shares))
    figure = Figure(figsize=(2.9 * columns + 1.2, height * rows + 1.0), facecolor=PAPER, layout="constrained")
    panels = [figure.add_subplot(rows, columns, 1 + i) for i in range(len(cuts))]
    for i, (cut, axes) in enumerate(zip(cuts, panels, strict=True)):
        image = _draw(axes, replayed, cut)
        axes.set_title(f"λ = {cut:g}", color=INK, fontsize=10)
        if i % columns == 0:
            axes.set_yticks(range(len(shares)), [f"{share:g}" for share in shares])
    bar = figure.colorbar(image, ax=panels, format=PercentFormatter(1.0, decimals=0), fraction=0.04, pad=0.01)
    bar.set_label("share of the images pruned", color=INK, fontsize=10)
    bar.ax.tick_params(colors=INK, labelsize=9)
    bar.outline.set_visible(False)
    figure.supxlabel("epoch", color=INK, fontsize=10)
    figure.supylabel("ρ (density threshold)", color=INK, fontsize=10)
    handles = [_dot([], [], label="exact up to here")]
    if replayed.own_first_pruned is not None:
        handles.append(Line2D([], [], color=VERMILION, linewidth=1.5, linestyle=":", label="the run itself pruned"))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9, labelcolor=INK
    )
    return figure


def _draw(axes: Axes, replayed: Replay, cut: float) -> AxesImage:
    shares, last = replayed.density_thresholds, replayed.num_epochs
    fractions = np.full((len(shares), last), np.nan)
    _beside(axes, len(shares) - 0.3, "at the end")
    for i, share in enumerate(shares):
        pair = Thresholds(cut, share)
        if pair in replayed.outcomes:
            fractions[i] = replayed.pruned_fraction(pair)
            _beside(axes, i, f"{100 * fractions[i, -1]:.0f} %")
            axes.add_line(_dot([replayed.outcomes[pair].last_exact], [i]))
        else:
            axes.text((last + 1) / 2, i, "λ > ρ", ha="center", va="center", color=INK, fontsize=8)
    image = axes.imshow(
        np.ma.masked_invalid(fractions), cmap=COLOURS, vmin=0, vmax=1, origin="lower", aspect="auto",
        interpolation="nearest", extent=(0.5, last + 0.5, -0.5, len(shares) - 0.5),
    )  # fmt: skip
    if replayed.own_first_pruned is not None:
        axes.axvline(replayed.own_first_pruned + 0.5, color=VERMILION, linewidth=1.5, linestyle=":")
    axes.set_facecolor(FAINT)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.tick_params(colors=INK, labelsize=9, length=2)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image


def _beside(axes: Axes, height: float, text: str) -> None:
    axes.annotate(
        text, (1, height), xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points", va="center",
        color=INK, fontsize=8,
    )  # fmt: skip


def _dot(x: list[int], y: list[int], label: str = "") -> Line2D:
    return Line2D(x, y, linestyle="", marker="o", markersize=5, markerfacecolor=PAPER, markeredgecolor=INK, label=label)
