"""Performance profiles: the share of a method's runs that are better than a score, for every score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from analysis.errors import OptionError, listing
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
from analysis.statistics.run_scores import performance_profiles

_FONT_SIZE = 7.5
_LEFT, _RIGHT, _BELOW, _HEIGHT = 48.0, 10.0, 30.0, 140.0
"""Points."""


@dataclass(frozen=True, kw_only=True)
class PerformanceProfilesArtists:
    """Everything that `draw_performance_profiles` drew."""

    figure: Figure
    axes: Axes
    lines: dict[str, Line2D]
    """By method."""
    legend: Legend
    profiles: pd.DataFrame
    """What is drawn, as `performance_profiles` returns it."""


def draw_performance_profiles(
    results: pd.DataFrame,
    *,
    higher_is_better: bool,
    value_label: str,
    metric: str | None = None,
    methods: Sequence[str] | None = None,
    width: float = COLUMN_WIDTH,
    ax: Axes | None = None,
) -> PerformanceProfilesArtists:
    """Draw a falling (or, where lower is better, rising) staircase for each method; the higher one is better.

    Where two cross, neither method is better throughout.

    Args:
        results: long results table with the columns method, domain, seed, metric, value; domains share a scale.
        higher_is_better: direction of the scores.
        value_label: of the horizontal axis, with its unit.
        metric: which metric; None where the table holds exactly one.
        methods: which methods, in which order; None: all, as in the table.
        width: inches, where `ax` is None.
        ax: axes to draw into; the legend stands above.

    Returns:
        the artists; `.figure` is what to save.

    Raises:
        AnalysisInputError: as `performance_profiles`; OptionError for unknown methods, or too many.
    """
    require_width(width)
    profiles = performance_profiles(results, higher_is_better=higher_is_better, metric=metric)
    chosen = list(profiles.columns) if methods is None else list(methods)
    unknown = [method for method in chosen if method not in profiles.columns]
    if unknown or len(chosen) > MOST_SERIES:
        raise OptionError(
            f"methods: {listing(unknown) if unknown else len(chosen)}; allowed: up to {MOST_SERIES} of "
            f"{listing(profiles.columns)}"
        )
    left = 0.0
    if ax is None:
        left = _LEFT - 3
        layout = lay_out_legend(chosen, width=72 * width - 6, font_size=_FONT_SIZE)
        height = _BELOW + _HEIGHT + layout.height + 3
        frame = (_LEFT / (72 * width), _BELOW / height, 1 - (_LEFT + _RIGHT) / (72 * width), _HEIGHT / height)
        ax = new_figure(width, height / 72).add_axes(frame)
    else:
        layout = lay_out_legend(chosen, width=size_in_points(ax)[0], font_size=_FONT_SIZE)
    at = profiles.index.to_numpy(dtype=float)
    lines = {}
    for position, method in enumerate(chosen):
        style = series_style(position)
        shares = profiles[method].to_numpy()
        # Beyond the worst score of all, every run is better.
        x, y = ([at[0], *at], [1, *shares]) if higher_is_better else ([*at, at[-1]], [*shares, 1])
        (lines[method],) = ax.plot(
            x,
            y,
            drawstyle="steps-post" if higher_is_better else "steps-pre",
            color=style.colour,
            linewidth=1.1,
            dashes=style.dashes or (None, None),
            label=method,
        )
    style_axes(ax, value_label, "share of runs that are better", font_size=_FONT_SIZE)
    ax.set_ylim(-0.02, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    return PerformanceProfilesArtists(
        figure=figure_of(ax),
        axes=ax,
        lines=lines,
        legend=draw_legend(ax, list(lines.values()), layout, left=left),
        profiles=profiles,
    )
