"""Scores as a dot plot: one panel a domain, one row a method, error bars over seeds, published values beside them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.figure_style import BLACK, BLUE, LIGHT_GREY, VERMILLION, new_figure

_FONT_SIZE = 7.5


@dataclass(frozen=True, kw_only=True)
class ScoreDots:
    """What `draw_scores` drew."""

    figure: Figure
    panels: tuple[Axes, ...]
    """One a domain, from left to right."""


def draw_scores(summary: pd.DataFrame, *, value_label: str, published: pd.DataFrame | None = None) -> ScoreDots:
    """Draw means with a bar of one standard deviation to either side; domains keep scales of their own.

    Args:
        summary: as `summarise` returns it.
        value_label: what the numbers are, with the unit and which direction is better.
        published: columns method, domain, value: drawn as hollow diamonds where a method and a domain are in `summary`.
    """
    domains, methods = list(dict.fromkeys(summary["domain"])), list(dict.fromkeys(summary["method"]))
    width, height = 1.1 + 1.95 * len(domains), 0.95 + 0.26 * len(methods)
    figure = new_figure(width, height)
    found = figure.subplots(1, len(domains), squeeze=False, sharey=True)[0]
    figure.subplots_adjust(
        left=0.95 / figure.get_figwidth(), right=0.985, bottom=0.45 / figure.get_figheight(), top=0.78
    )
    rows = {method: row for row, method in enumerate(methods)}
    for panel, domain in zip(found, domains, strict=True):
        own = summary[summary["domain"] == domain]
        panel.errorbar(
            own["mean"],
            [rows[method] - 0.12 for method in own["method"]],
            xerr=own["standard_deviation"],  # NaN for a single seed: no bar, rather than one of length 0.
            fmt="o",
            color=BLUE,
            markersize=4.5,
            capsize=2,
            linewidth=1,
            label="here, mean and standard deviation",
        )
        if published is not None:
            known = published[(published["domain"] == domain) & published["method"].isin(methods)]
            panel.plot(
                known["value"],
                [rows[method] + 0.16 for method in known["method"]],
                "D",
                color=VERMILLION,
                markerfacecolor="none",
                markersize=4,
                label="published",
            )
        panel.set_title(domain, fontsize=_FONT_SIZE + 0.5, color=BLACK, parse_math=False)
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.tick_params(labelsize=_FONT_SIZE - 0.5, length=2)
        panel.grid(True, color=LIGHT_GREY, linewidth=0.4)
        panel.set_axisbelow(True)
        panel.margins(x=0.12)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    found[0].set_yticks(range(len(methods)), methods, fontsize=_FONT_SIZE, parse_math=False)
    found[0].set_ylim(len(methods) - 0.5, -0.5)
    figure.supxlabel(value_label, fontsize=_FONT_SIZE, y=0.02, parse_math=False)
    handles, labels = found[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=2, frameon=False, fontsize=_FONT_SIZE - 0.5)
    return ScoreDots(figure=figure, panels=tuple(found))
