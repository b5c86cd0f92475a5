"""Marks at one height of a plot, their texts staggered below them so that none covers another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.text import Text

from analysis.figures.figure_style import size_in_points
from analysis.figures.label_text import text_width

_STEP = 1.35
"""Distance of two texts, in font sizes."""


class DropMark(NamedTuple):
    """A point in data coordinates, and what to say of it."""

    x: float
    y: float
    text: str
    colour: str


def draw_drop_marks(
    ax: Axes, marks: Mapping[str, DropMark], *, font_size: float, upwards: bool = False
) -> dict[str, Text]:
    """Draw a dot at each mark and its text at the end of a thin upright line, near the bottom of the axes.

    The leftmost mark's text is the outermost, the next one stands a line nearer to the dots and so on. A text to the
    right of its line then crosses no other line; only one that would leave the axes stands to the left, on a white
    ground.

    Args:
        ax: axes with their final limits and size; their lower right should be free, as below rising curves.
        marks: by name.
        font_size: in points.
        upwards: whether texts stand near the top instead, as suits falling curves.

    Returns:
        the texts by name, from left to right.
    """
    width, height = size_in_points(ax)
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()
    texts: dict[str, Text] = {}
    for i, (name, mark) in enumerate(sorted(marks.items(), key=lambda item: (item[1].x, item[0]))):
        rise = (0.6 + _STEP * i) * font_size
        share = (rise + 0.5 * font_size) / height
        y = bottom + (top - bottom) * (1 - share if upwards else share)
        ax.plot([mark.x, mark.x], [mark.y, y], color=mark.colour, linewidth=0.7, zorder=2.5)
        ax.plot([mark.x], [mark.y], color=mark.colour, marker="o", markersize=5, markeredgecolor="white", zorder=5)
        at = width * (mark.x - left) / (right - left)
        fits = at + 4 + text_width(mark.text, font_size) <= width
        texts[name] = ax.annotate(
            mark.text,
            (mark.x, y),
            xytext=(3 if fits else -3, 0),
            textcoords="offset points",
            ha="left" if fits else "right",
            va="center",
            fontsize=font_size,
            color=mark.colour,
            parse_math=False,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
            zorder=4,
        )
    return texts
