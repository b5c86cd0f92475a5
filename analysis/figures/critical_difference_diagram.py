"""Demsar's critical-difference diagram (Demsar 2006, Figure 1).

Friedman p = 0.31: no difference shown      <- only where the test that decided does not reject
            |------ CD ------|
            1      2      3      4          <- average rank, best on the left (or on the right)
            |--o---+--o---o--+-o-|
               |======|===|    |            <- cliques: no difference shown within a bar
BDW   1.40 ----'      |   |====|
L2RW  2.20 -----------'   |    '---- 3.60 RotNet
                          '--------- 2.80 NN-Weighter
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.figures.figure_style import COLUMN_WIDTH
from analysis.figures.rank_diagram import RankDiagram, RankDiagramArtists, draw_bars, draw_common, lay_out
from analysis.statistics.comparison import TEST_NAMES, Comparison, require_critical_difference
from analysis.verdict import format_p


@dataclass(frozen=True, kw_only=True)
class CriticalDifferenceArtists(RankDiagramArtists):
    """Everything that `draw_cd` drew, so that it can be restyled and counted."""

    bars: tuple[Line2D, ...]
    """One for each clique, in the order of `Comparison.cliques`, with a dot at each of its members."""


def draw_cd(
    comparison: Comparison,
    ax: Axes | None = None,
    *,
    title: str = "",
    best: Literal["left", "right"] = "left",
    width: float = COLUMN_WIDTH,
) -> CriticalDifferenceArtists:
    """Draw a critical-difference diagram.

    Where the test that decided does not reject, the diagram carries a banner that names it and says so, and loses its
    colours: its bars must not be read as findings. Two methods compared by their scores carry a note that Wilcoxon's
    test decided on them, and their bar, or its absence, shows what it found; the ruler is Nemenyi's all the same.

    Args:
        comparison: from `compare` or `compare_ranks`.
        ax: axes to fill, as large as they are at the time of the call; fonts shrink where the room is short. None makes
            a figure as high as needed.
        title: written at the top.
        best: at which end of the scale rank 1 is; Demsar's own diagrams have it on the right.
        width: inches, where `ax` is None; a paper's column by default.

    Returns:
        the artists; `.figure` is what to save (`analysis.save_figure` embeds fonts).

    Raises:
        NoCriticalDifferenceError: the scores have gaps, with which no critical difference is valid for all pairs.
        OptionError: `best` is something else, or a width that is none.
    """
    difference = require_critical_difference(comparison)
    text = f"CD = {difference:.2f} (α = {comparison.alpha:g})"
    decided = f"{TEST_NAMES[comparison.test]} {format_p(comparison.p_value)}"
    by_wilcoxon = comparison.test == "wilcoxon" and comparison.is_significant
    diagram = RankDiagram(
        average_ranks=comparison.average_ranks,
        ruler=(1, 1 + difference) if best == "left" else (comparison.num_methods - difference, comparison.num_methods),
        ruler_text=text if difference <= comparison.num_methods - 1 else f"{text}, longer than the scale",
        bars=[[float(comparison.average_ranks[method]) for method in clique] for clique in comparison.cliques],
        is_finding=comparison.is_significant,
        banner=None if comparison.is_significant else f"{decided}: no difference shown",
        note=f"Two methods: {decided} decides, not CD" if by_wilcoxon else None,
        title=title,
        best=best,
    )
    ax, layout = lay_out(diagram, ax, width)
    return CriticalDifferenceArtists(**draw_common(ax, diagram, layout), bars=draw_bars(ax, diagram, layout))
