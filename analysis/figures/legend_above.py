"""A legend above the axes, laid out in points from measured text, so that it is never wider than its room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.legend import Legend

from analysis.figures.figure_style import size_in_points
from analysis.figures.label_text import text_height, text_width, wrap

# In font sizes.
_HANDLE = 2.0
_HANDLE_GAP = 0.4
_COLUMN_GAP = 1.2
_ROW_GAP = 0.25
_PADDING = 0.3
_SINGLE_LINE = 1.1
"""Height of an entry of one line; several lines take as much as anywhere."""


@dataclass(frozen=True, kw_only=True)
class LegendLayout:
    """Names in columns, and the room that they take."""

    names: tuple[str, ...]
    """Long ones in several lines."""
    num_columns: int
    height: float
    """Points."""
    font_size: float


def lay_out_legend(names: Sequence[str], *, width: float, font_size: float) -> LegendLayout:
    """Arrange names in as many columns as fit.

    Args:
        names: at least one, the first at the top left, the second below it.
        width: in points.
        font_size: in points.
    """
    extra = (_HANDLE + _HANDLE_GAP) * font_size
    available = width - 2 * _PADDING * font_size

    def fits(columns: int) -> bool:
        widths = [max(text_width(name, font_size) for name in part) + extra for part in _columns(names, columns)]
        return sum(widths) + (columns - 1) * _COLUMN_GAP * font_size <= available

    num_columns = next((columns for columns in range(len(names), 1, -1) if fits(columns)), 1)
    # As few columns as need no further row, so that all but the last are full.
    num_rows = math.ceil(len(names) / num_columns)
    num_columns = next(
        columns for columns in (math.ceil(len(names) / num_rows), num_columns, 1) if columns == 1 or fits(columns)
    )
    wrapped = [wrap(name, font_size, available - extra) for name in names] if num_columns == 1 else names
    height = max(
        sum(_entry_height(name, font_size) for name in part) + (len(part) - 1) * _ROW_GAP * font_size
        for part in _columns(wrapped, num_columns)
    )
    return LegendLayout(
        names=tuple(wrapped),
        num_columns=num_columns,
        height=height + 2 * _PADDING * font_size,
        font_size=font_size,
    )


def draw_legend(ax: Axes, handles: Sequence[Artist], layout: LegendLayout, *, left: float = 0.0) -> Legend:
    """Write a legend above axes.

    Args:
        ax: axes of their final size.
        handles: what is explained, one for each name.
        layout: from `lay_out_legend`.
        left: how many points to the left of the axes it starts.
    """
    width = size_in_points(ax)[0]
    legend = ax.legend(
        handles,
        layout.names,
        loc="lower left",
        bbox_to_anchor=(-left / width, 1),
        ncols=layout.num_columns,
        fontsize=layout.font_size,
        frameon=False,
        borderaxespad=0,
        borderpad=_PADDING,
        handlelength=_HANDLE,
        handletextpad=_HANDLE_GAP,
        columnspacing=_COLUMN_GAP,
        labelspacing=_ROW_GAP,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return legend


def _columns(names: Sequence[str], num_columns: int) -> list[list[str]]:
    """The names by column, as matplotlib deals them out."""
    return [[names[i] for i in part] for part in np.array_split(np.arange(len(names)), num_columns)]


def _entry_height(name: str, font_size: float) -> float:
    return text_height(name, font_size) if "\n" in name else _SINGLE_LINE * font_size
