"""Every single measurement: one row a domain, a small dot for each seed, a large marker for the mean of a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from analysis.errors import OptionError, listing
from analysis.figures.figure_style import COLUMN_WIDTH, figure_of, new_figure, require_width, series_style, style_axes
from analysis.figures.label_text import text_height, text_width, wrap
from analysis.figures.legend_above import draw_legend, lay_out_legend
from analysis.results_table import rows_of_metric
from analysis.rounding import mean_of

MOST_METHODS = 10
"""More could not be told apart."""

_FONT_SIZE = 7.5
_GAP = 3.0
"""Points."""
_MAX_NAME_SHARE = 0.32
"""Largest share of the width for the domains' names."""
_BAND = "#f2f2f2"
_PAGE = 600.0
"""Points: rows become less high rather than the figure higher than this, as long as their names fit."""


@dataclass(frozen=True, kw_only=True)
class DomainDotsArtists:
    """Everything that `draw_domain_dots` drew."""

    figure: Figure
    axes: Axes
    means: dict[str, PathCollection]
    """By method: one marker a domain, at the mean over its seeds."""
    seeds: dict[str, PathCollection]
    """By method: one dot a domain and seed."""
    ranges: dict[str, LineCollection]
    """By method: one line a domain, from the lowest seed to the highest."""
    domain_names: tuple[Text, ...]
    """From top to bottom."""
    legend: Legend
    missing: tuple[tuple[str, str], ...]
    """(method, domain) without a measurement; nothing is drawn for them."""


def draw_domain_dots(
    results: pd.DataFrame,
    *,
    value_label: str,
    metric: str | None = None,
    methods: Sequence[str] | None = None,
    domains: Sequence[str] | None = None,
    width: float = COLUMN_WIDTH,
    ax: Axes | None = None,
) -> DomainDotsArtists:
    """Draw all measurements of one metric, all domains on one scale (`draw_scores` gives each a scale of its own).

    Args:
        results: long results table with the columns method, domain, seed, metric, value.
        value_label: what the values are, with the unit and which direction is better.
        metric: which metric; None where the table holds exactly one.
        methods: which methods, in which order; None: all, as in the table. At most `MOST_METHODS`.
        domains: which domains, from top to bottom; None: all, as in the table.
        width: inches, where `ax` is None; the height follows.
        ax: axes to draw into. The domains' names stand to their left, the legend above, the label below.

    Returns:
        the artists; `.figure` is what to save.

    Raises:
        AnalysisInputError: as `compare`; OptionError for unknown methods or domains, or too many methods.
    """
    require_width(width)
    rows = rows_of_metric(results, metric)
    methods = _chosen("methods", methods, list(dict.fromkeys(rows["method"])))
    domains = _chosen("domains", domains, list(dict.fromkeys(rows["domain"])))
    if len(methods) > MOST_METHODS:
        raise OptionError(f"methods: {len(methods)} in the table; allowed: at most {MOST_METHODS}, chosen by `methods`")
    seeds = {key: group.tolist() for key, group in rows.groupby(["method", "domain"], sort=False)["value"]}

    legend_left = 0.0
    if ax is None:
        ax, legend_left = _new_axes(methods, domains, 72 * width)
    figure = figure_of(ax)
    x, _, axes_width, axes_height = (72 / figure.dpi * float(part) for part in ax.get_window_extent().bounds)
    row_height = axes_height / len(domains)
    lane = 0.8 * row_height / len(methods)
    size = min(5.0, max(3.2, 1.2 * lane))
    means, dots, ranges = {}, {}, {}
    for position, method in enumerate(methods):
        own = [(domain, seeds[method, domain]) for domain in domains if (method, domain) in seeds]
        offset = (position - (len(methods) - 1) / 2) * lane / row_height
        at = {domain: row + offset for row, domain in enumerate(domains)}
        style = series_style(position)
        ranges[method] = ax.hlines(
            [at[domain] for domain, _ in own],
            [min(values) for _, values in own],
            [max(values) for _, values in own],
            color=style.colour,
            linewidth=0.6,
            alpha=0.6,
            zorder=2,
        )
        dots[method] = ax.scatter(
            [value for _, values in own for value in values],
            [at[domain] for domain, values in own for _ in values],
            s=(0.5 * size) ** 2,
            color=style.colour,
            alpha=0.6,
            linewidths=0,
            zorder=3,
        )
        means[method] = ax.scatter(
            [mean_of(values) for _, values in own],
            [at[domain] for domain, _ in own],
            s=(style.marker_scale * size) ** 2,
            color=style.colour,
            marker=style.marker,
            edgecolors="white",
            linewidths=0.3 if size > 4 else 0.15,
            zorder=4,
        )
    for row in range(0, len(domains), 2):
        ax.axhspan(row - 0.5, row + 0.5, color=_BAND, linewidth=0, zorder=0)
    style_axes(ax, value_label, "", font_size=_FONT_SIZE)
    ax.grid(False, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.margins(x=0.05)
    ax.set_ylim(len(domains) - 0.5, -0.5)
    names = [
        wrap(name, _FONT_SIZE, min(x - 2 * _GAP, _MAX_NAME_SHARE * 72 * figure.get_figwidth())) for name in domains
    ]
    ax.set_yticks(np.arange(len(domains)), names, fontsize=_FONT_SIZE)
    ax.tick_params(axis="y", length=0)
    for text in ax.get_yticklabels():
        text.set_parse_math(False)
    layout = lay_out_legend(methods, width=axes_width + legend_left, font_size=_FONT_SIZE)
    return DomainDotsArtists(
        figure=figure,
        axes=ax,
        means=means,
        seeds=dots,
        ranges=ranges,
        domain_names=tuple(ax.get_yticklabels()),
        legend=draw_legend(ax, list(means.values()), layout, left=legend_left),
        missing=tuple((method, domain) for method in methods for domain in domains if (method, domain) not in seeds),
    )


def _new_axes(methods: Sequence[str], domains: Sequence[str], width: float) -> tuple[Axes, float]:
    """Axes of a new figure of that width in points, and how far left of them the legend may begin."""
    names = [wrap(name, _FONT_SIZE, _MAX_NAME_SHARE * width) for name in domains]
    left = max(text_width(name, _FONT_SIZE) for name in names) + 3 * _GAP
    legend = lay_out_legend(methods, width=width - 2 * _GAP, font_size=_FONT_SIZE)
    lowest = max(text_height(name, _FONT_SIZE) for name in names) + _GAP
    row_height = max(lowest, min(4.5 * len(methods) + _GAP, _PAGE / len(domains)))
    below, above = 4 * _FONT_SIZE, legend.height + _GAP
    height = below + row_height * len(domains) + above
    # To the right there is room for half of the last tick's label.
    frame = (left / width, below / height, 1 - (left + 4 * _GAP) / width, row_height * len(domains) / height)
    return new_figure(width / 72, height / 72).add_axes(frame), left - _GAP


def _chosen(field: str, wanted: Sequence[str] | None, present: list[str]) -> list[str]:
    if wanted is None:
        return present
    unknown = [name for name in wanted if name not in present]
    if unknown or len(wanted) == 0 or len(set(wanted)) < len(wanted):
        what = f"{listing(unknown)} not in the table" if unknown else f"{listing(wanted) or 'none'}"
        raise OptionError(f"{field}: {what}; allowed: {listing(present)}, each at most once")
    return list(wanted)
