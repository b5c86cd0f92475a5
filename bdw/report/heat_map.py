"""A table of numbers as colours, with the numbers in the cells."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from bdw.report.figure import BLUE, INK, PAPER, VERMILION, new_axes

LONGEST_LABEL = 24
"""Characters of a label that there is room for; the end of a longer one is kept."""
DARK = 0.65
"""Distance from the middle, as a share of the largest, beyond which numbers are written in white."""


def heat_map(values: pd.DataFrame, *, middle: float, largest: float) -> Figure:
    """Rows and columns as they come. Cells are white at `middle`, blue above and vermilion below it, and as dark as it
    gets where they differ from it by `largest` or more."""
    rows, columns = values.shape
    figure, axes = new_axes("", "", width=max(5.1, 2.2 + 0.62 * columns), height=max(2.4, 1.5 + 0.34 * rows))
    colours = LinearSegmentedColormap.from_list("usefulness", (VERMILION, PAPER, BLUE))
    numbers = values.to_numpy(dtype=np.float64)
    axes.imshow(numbers, cmap=colours, vmin=middle - largest, vmax=middle + largest, aspect="auto")
    axes.grid(False)
    axes.set_xticks(range(columns), [_short(name) for name in values.columns], rotation=45, ha="right", fontsize=9)
    axes.set_yticks(range(rows), [_short(name) for name in values.index], fontsize=9)
    for row in range(rows):
        for column in range(columns):
            value = float(numbers[row, column])
            if math.isfinite(value):
                is_dark = abs(value - middle) > DARK * largest
                axes.text(
                    column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=PAPER if is_dark else INK
                )
    return figure


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= LONGEST_LABEL else f"…{text[1 - LONGEST_LABEL :]}"
