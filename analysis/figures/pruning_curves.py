"""Pruning curves: how much of the source is left after every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from analysis.errors import OptionError
from analysis.figures.figure_style import (
    COLUMN_WIDTH,
    MOST_SERIES,
    figure_of,
    new_figure,
    require_width,
    series_style,
    size_in_points,
    style_axes,
)
from analysis.figures.legend_above import draw_legend, lay_out_legend
from analysis.kept_shares import checked_shares

_FONT_SIZE = 7.5
_LEFT, _BELOW, _RIGHT, _AXES_HEIGHT = 44.0, 30.0, 8.0, 130.0
"""Points."""


@dataclass(frozen=True, kw_only=True)
class PruningCurvesArtists:
    """Everything that `draw_pruning_curves` drew."""

    figure: Figure
    axes: Axes
    lines: dict[str, tuple[Line2D, ...]]
    """By label: one for each run, or the mean of them."""
    bands: dict[str, PolyCollection]
    """By label: from the lowest to the highest of several runs; empty unless asked for."""
    legend: Legend


def draw_pruning_curves(
    shares: pd.DataFrame, *, band: bool = True, width: float = COLUMN_WIDTH, ax: Axes | None = None
) -> PruningCurvesArtists:
    """Draw the share of the source that was kept after each epoch, from 100 % at the start.

    Args:
        shares: as `read_kept_shares` returns it: columns run, label, epoch, kept_fraction.
        band: for each label with several runs (seeds), one line for their mean, and a band from the lowest to the
            highest of them, up to the last epoch that all of them reached. Otherwise one line a run.
        width: inches, where `ax` is None.
        ax: axes to draw into; the legend stands above.

    Returns:
        the artists; `.figure` is what to save.

    Raises:
        AnalysisInputError: a table without the columns or with other things in them (see `checked_shares`); more labels
            than can be told apart.
    """
    require_width(width)
    table = checked_shares(shares)
    labels = list(dict.fromkeys(table["label"]))
    if len(labels) > MOST_SERIES:
        raise OptionError(f"shares: {len(labels)} labels; allowed: at most {MOST_SERIES}, more look alike")
    legend_left = 0.0
    if ax is None:
        legend_left = _LEFT - 3
        layout = lay_out_legend(labels, width=72 * width - 6, font_size=_FONT_SIZE)
        height = _BELOW + _AXES_HEIGHT + layout.height + 3
        frame = (
            _LEFT / (72 * width),
            _BELOW / height,
            1 - (_LEFT + _RIGHT) / (72 * width),
            _AXES_HEIGHT / height,
        )
        ax = new_figure(width, height / 72).add_axes(frame)
    else:
        room = size_in_points(ax)[0]
        layout = lay_out_legend(labels, width=room, font_size=_FONT_SIZE)

    lines: dict[str, tuple[Line2D, ...]] = {}
    bands: dict[str, PolyCollection] = {}
    handles: list[Line2D] = []
    for position, label in enumerate(labels):
        style = series_style(position)
        dashes: Any = (0, style.dashes) if style.dashes else "-"
        handles.append(Line2D([], [], color=style.colour, linestyle=dashes, linewidth=1.2))
        by_run = table[table["label"] == label].pivot(index="epoch", columns="run", values="kept_fraction")
        curves = [by_run[run].dropna() for run in by_run.columns]
        if band and len(curves) > 1:
            common = by_run.dropna()
            curves = [common.mean(axis=1)]
            bands[label] = ax.fill_between(
                [0, *common.index],
                [1, *common.min(axis=1)],
                [1, *common.max(axis=1)],
                step="post",
                color=style.colour,
                alpha=0.2,
                linewidth=0,
                zorder=2,
            )
        # Pruning happens between epochs, so the share is a step function; the marker shows where the last step led.
        lines[label] = tuple(
            ax.step(
                [0, *curve.index],
                [1, *curve],
                where="post",
                color=style.colour,
                linestyle=dashes,
                linewidth=1.2,
                marker="o",
                markersize=3,
                markevery=[-1],
                zorder=3,
            )[0]
            for curve in curves
        )
    style_axes(ax, "epoch", "share of the source kept", font_size=_FONT_SIZE)
    ax.set_ylim(0, 1.03)
    ax.set_xlim(0, 1.02 * float(table["epoch"].max()))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return PruningCurvesArtists(
        figure=figure_of(ax),
        axes=ax,
        lines=lines,
        bands=bands,
        legend=draw_legend(ax, handles, layout, left=legend_left),
    )
