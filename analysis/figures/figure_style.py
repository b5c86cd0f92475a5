"""What all figures share: colours that colour-blind readers can tell apart, column width, saving."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.errors import OptionError, shown

COLUMN_WIDTH = 3.3
"""Inches: one column of a two-column paper."""
FULL_WIDTH = 6.8
"""Inches: both columns and the gutter between them."""

# Okabe and Ito's palette, made for all common kinds of colour blindness; its yellow is left out, too pale on white.
BLACK = "#000000"
GREY = "#666666"
LIGHT_GREY = "#b3b3b3"
BLUE = "#0072b2"
VERMILLION = "#d55e00"
GREEN = "#009e73"
PURPLE = "#cc79a7"
ORANGE = "#e69f00"
SKY = "#56b4e9"

_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, BLACK, ORANGE, SKY)
# With the factor that makes them look equally large.
_MARKERS = (
    *(("o", 1.0), ("s", 0.95), ("^", 1.1), ("D", 0.9), ("v", 1.1)),
    *(("P", 1.2), ("X", 1.2), ("<", 1.1), (">", 1.1), ("*", 1.5)),
)
_DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1, 1.2), (5, 1.5, 1, 1.5))


class SeriesStyle(NamedTuple):
    """Colour and shape that tell one series of a figure from the others."""

    colour: str
    marker: str
    marker_scale: float
    """Times the size that a circle would have."""
    dashes: tuple[float, ...]
    """Lengths of strokes and gaps in line widths; empty for a solid line."""


MOST_SERIES = len(_COLOURS) * len(_DASHES)
"""Series beyond these could no longer be told apart."""


def series_style(position: int) -> SeriesStyle:
    """Return the style of the series at that position, counted from 0.

    Up to `MOST_SERIES` no two share both colour and dashes; up to 10 no two share a marker.
    """
    return SeriesStyle(
        _COLOURS[position % len(_COLOURS)],
        *_MARKERS[position % len(_MARKERS)],
        _DASHES[position // len(_COLOURS) % len(_DASHES)],
    )


def ink_on(colour: npt.ArrayLike) -> str:
    """Return black or white, whichever is easier to read on a colour (red, green, blue, each from 0 to 1).

    By the contrast ratio of the Web Content Accessibility Guidelines 2.1, which weighs linear light.
    """
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in map(float, tuple(colour)[:3])  # type: ignore[arg-type]
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else BLACK


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of that many inches which needs no display and is kept by nobody but its owner."""
    figure = Figure(figsize=(width, height), dpi=200)
    FigureCanvasAgg(figure)
    return figure


def figure_of(ax: Axes) -> Figure:
    """Return the figure that axes are part of.

    Raises:
        OptionError: they are part of none, so that they have no size.
    """
    figure = ax.get_figure(root=True)
    if figure is None:
        raise OptionError("ax: belongs to no figure; allowed: axes of a figure")
    return figure


def size_in_points(ax: Axes) -> tuple[float, float]:
    """Return width and height of axes in points (1/72 inch) at the time of the call; errors as `figure_of`."""
    dpi, box = figure_of(ax).dpi, ax.get_window_extent()
    return 72 * float(box.width) / dpi, 72 * float(box.height) / dpi


def require_width(width: float) -> None:
    """Raise OptionError unless a figure of that width in inches can hold anything and be printed."""
    if isinstance(width, bool) or not isinstance(width, (int, float)) or not 1 <= width <= 50:
        raise OptionError(f"width: {shown(width)}; allowed: 1 to 50 inches, such as {COLUMN_WIDTH} or {FULL_WIDTH}")


def style_axes(ax: Axes, x_label: str, y_label: str, *, font_size: float) -> None:
    """Give axes the look of our figures: two spines, a faint grid behind the data, names taken as they are."""
    ax.set_xlabel(x_label, fontsize=font_size, parse_math=False)
    ax.set_ylabel(y_label, fontsize=font_size, parse_math=False)
    ax.tick_params(labelsize=font_size, color=GREY)
    ax.grid(color=LIGHT_GREY, linewidth=0.3)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure, its kind by the ending, fonts embedded in vector formats; no half-written file is ever seen.

    Args:
        figure: what to write.
        path: ends in .pdf, .svg, .eps or .png; its directory exists.

    Returns:
        the path.
    """
    path = Path(path)
    kind = path.suffix[1:]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # The same picture makes the same bytes: no date. Type 42 are TrueType fonts, which publishers accept and people can
    # search; SVG has no embedding, there glyphs become outlines.
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    with rc_context({"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": path.name}):
        try:
            figure.savefig(temporary, format=kind, metadata=metadata)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path
