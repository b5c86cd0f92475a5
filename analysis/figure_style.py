"""What all figures share: colours that colour-blind readers can tell apart, column width, saving."""

from __future__ import annotations

import os
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLUMN_WIDTH = 3.3
"""Inches: one column of a two-column paper."""

# Okabe and Ito's palette, made for all common kinds of colour blindness.
BLACK = "#000000"
GREY = "#666666"
LIGHT_GREY = "#b3b3b3"
BLUE = "#0072b2"
VERMILLION = "#d55e00"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of that many inches which needs no display and is kept by nobody but its owner."""
    figure = Figure(figsize=(width, height), dpi=200)
    FigureCanvasAgg(figure)
    return figure


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
