"""Look of the figures: a colour-blind-safe palette, a bare axes, and a PNG at twice the density of the page.

matplotlib's object-oriented interface only: no pyplot, no global state, so that reports can be written from any thread.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's palette, which readers with any common colour blindness can tell apart; yellow is left out (too pale).
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
JUNK_COLOURS = (VERMILION, ORANGE, PURPLE, GREEN, SKY)
INK, FAINT, PAPER = "#2b2f33", "#d9dcdf", "#ffffff"

CSS_PIXELS_PER_INCH = 100
DENSITY = 2


def new_axes(x_label: str, y_label: str, *, width: float = 5.1, height: float = 3.2) -> tuple[Figure, Axes]:
    """An empty figure of that size in inches (100 page pixels each) with one axes in the reports' look."""
    figure = Figure(figsize=(width, height), facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)
    axes.tick_params(colors=INK, labelsize=10)
    axes.grid(True, color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_label, color=INK, fontsize=11)
    axes.set_ylabel(y_label, color=INK, fontsize=11)
    return figure, axes


def data_uri(png: bytes) -> str:
    """The bytes of a PNG as an address that an `img` element shows without fetching anything."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def to_png(figure: Figure) -> bytes:
    """The figure drawn at twice the page's density."""
    figure.set_dpi(CSS_PIXELS_PER_INCH * DENSITY)
    # One draw instead of savefig's two (it lays everything out beforehand), which halves the time of a report.
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    Image.fromarray(pixels).convert("RGB").save(buffer, format="PNG")
    return buffer.getvalue()
