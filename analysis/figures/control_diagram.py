"""Methods against a control: average ranks, and the interval around the control's within which none differs.

                   |---- CD ----:---- CD ----|
                1      2      3      4      5
                |-o+---o--:---◆--o---:-----o-+      <- filled: differs from the control; the band is the interval

After Demsar 2006, Figure 1b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analysis.figures.figure_style import BLUE, COLUMN_WIDTH, GREY, LIGHT_GREY
from analysis.figures.rank_diagram import RankDiagram, RankDiagramArtists, draw_common, lay_out, ruler_ends
from analysis.statistics.comparison import TEST_NAMES
from analysis.statistics.control import ControlComparison
from analysis.verdict import format_p


@dataclass(frozen=True, kw_only=True)
class ControlArtists(RankDiagramArtists):
    """Everything that `draw_control` drew, so that it can be restyled and counted."""

    band: Rectangle
    """The control's interval on the scale, cut at its ends."""


def draw_control(
    compared: ControlComparison,
    ax: Axes | None = None,
    *,
    title: str = "",
    best: Literal["left", "right"] = "left",
    width: float = COLUMN_WIDTH,
) -> ControlArtists:
    """Draw all methods on the scale of average ranks with the control's interval of one critical difference each way.

    The control is a diamond with its name in bold. Methods with a hollow dot, inside the band, and a grey name were not
    shown to differ from it; those with a filled one were (Bonferroni-Dunn). Where the test of all methods does not
    reject, a banner says so, no dot is filled and the colours go.

    Args:
        compared: from `compare_with_control`.
        ax: axes to fill, or None for a figure, as for `draw_cd`.
        title: written at the top.
        best: at which end of the scale rank 1 is.
        width: inches, where `ax` is None; a paper's column by default.

    Returns:
        the artists; `.figure` is what to save.

    Raises:
        OptionError: `best` is something else, or a width that is none.
    """
    comparison = compared.comparison
    centre = float(comparison.average_ranks[compared.control])
    difference = compared.critical_difference
    finding = comparison.is_significant
    decided = f"{TEST_NAMES[comparison.test]} {format_p(comparison.p_value)}"
    diagram = RankDiagram(
        average_ranks=comparison.average_ranks,
        ruler=(centre - difference, centre + difference),
        ruler_text=f"{compared.control} ± CD, CD = {difference:.2f} (α = {comparison.alpha:g})",
        is_finding=finding,
        banner=None if finding else f"{decided}: no difference shown",
        title=title,
        best=best,
        emphasised=compared.control,
    )
    ax, at = lay_out(diagram, ax, width)
    common = draw_common(ax, diagram, at)
    start, end, _, _ = ruler_ends(diagram, at)
    half = 0.45 * at.font_size
    colour = BLUE if finding else LIGHT_GREY
    band = Rectangle((start, at.scale_y - half), end - start, 2 * half, facecolor=colour, alpha=0.3, linewidth=0)
    ax.add_patch(band)
    for method, marker, label in zip(comparison.methods, common["markers"], common["labels"], strict=True):
        if method == compared.control:
            marker.set(marker="D", markersize=0.55 * at.font_size)
        elif not compared.differs(method):
            marker.set(markerfacecolor="white", markeredgewidth=0.1 * at.font_size)
            label.set_color(GREY)
    return ControlArtists(**common, band=band)
