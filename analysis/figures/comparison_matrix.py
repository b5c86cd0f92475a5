"""Every pair of methods in a grid: the multi-comparison matrix of Ismail-Fawaz et al. 2023 (arXiv 2305.11921)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.figures.cell_grid import ColourScale, GridContents, draw_cell_grid
from analysis.figures.figure_style import COLUMN_WIDTH, require_width
from analysis.figures.number_format import formatted, signed
from analysis.statistics.pairwise import PairwiseComparison

Floats = npt.NDArray[np.float64]

# Blue and red of ColorBrewer, which colour-blind readers tell apart; white is no difference.
_COLOURS = "RdBu"
_NO_PAIR = (0.93, 0.93, 0.93, 1.0)
_MARK = "•"


@dataclass(frozen=True, kw_only=True)
class ComparisonMatrixArtists:
    """Everything that `draw_comparison_matrix` drew."""

    figure: Figure
    axes: Axes
    cells: PolyCollection
    """Row by row; a method against itself is grey."""
    texts: dict[tuple[str, str], Text]
    """By (row, column): mean difference; wins/ties/losses; corrected p. Only a dot where that is below alpha if the
    cells are too small, and nothing if they are too small for that."""
    row_names: tuple[Text, ...]
    column_names: tuple[Text, ...]
    small_print: tuple[Text, ...]


def draw_comparison_matrix(
    comparison: PairwiseComparison,
    ax: Axes | None = None,
    *,
    score_format: str | None = None,
    title: str = "",
    width: float = COLUMN_WIDTH,
) -> ComparisonMatrixArtists:
    """Draw a multi-comparison matrix; its colours are the mean differences.

    Full colour is the largest mean difference, or one standard deviation over domains of a pair's differences where
    that is larger: differences that domains do not agree on stay pale.

    Seven methods are readable in one column of a paper, fifteen over both (`FULL_WIDTH`); with more of them a dot in
    each cell whose corrected p is below alpha stands for the numbers. A control's column holds any number of methods.

    Args:
        comparison: from `compare_pairs`.
        ax: axes to fill; None makes a figure.
        score_format: format specification of means and mean differences, such as ".1f"; None: as many decimals as give
            the largest difference three digits, and powers of ten where these would be too long.
        title: written at the top.
        width: inches, where `ax` is None; the height follows.

    Returns:
        the artists; `.figure` is what to save.

    Raises:
        OptionError: a width or a format that is none.
    """
    require_width(width)
    rows, columns = list(comparison.mean_differences.index), list(comparison.mean_differences.columns)
    sign = 1 if comparison.higher_is_better else -1
    differences = comparison.mean_differences.to_numpy(dtype=float)
    largest = float(np.abs(differences).max()) or 1.0
    full = max(largest, comparison.spread)
    if score_format is None:
        size = math.floor(math.log10(full))
        score_format = f".{max(0, 2 - size)}f" if -5 <= size <= 8 else ".2e"
    scale = colormaps[_COLOURS]
    colours = np.asarray(scale(0.5 + sign * differences / full / 2))
    is_self = np.array([[row == column for column in columns] for row in rows])
    colours[is_self] = _NO_PAIR
    differs = comparison.differs.to_numpy()
    control = comparison.against
    most = formatted(full, score_format)
    test = f"Wilcoxon's signed-rank test, corrected by Holm for {_pairs(comparison.num_pairs)}"
    level = f"p < {comparison.alpha:g}"
    measured = (
        f"In each cell: mean difference ({'row minus column' if control is None else f'row minus {control}'}); "
        f"wins/ties/losses over {comparison.num_domains} domains; p of {test}"
    )
    meaning = "the largest mean difference" if full == largest else "a pair's standard deviation over domains"
    grid = draw_cell_grid(
        GridContents(
            row_names=[f"{row} ({formatted(comparison.mean_scores[row], score_format)})" for row in rows],
            column_names=columns
            if control is None
            else [f"against {control} ({formatted(comparison.mean_scores[control], score_format)})"],
            colours=colours,
            texts=_cells(comparison, score_format),
            bold=differs,
            scale=ColourScale(
                colours=scale,
                low_label=f"{'column' if control is None else 'control'} better by {most}",
                high_label=f"row better by {most}",
            ),
            short_texts=[[_MARK if differs[i, j] else "" for j in range(len(columns))] for i in range(len(rows))],
            title=title,
            note=f"{measured}, bold where {level}. Full colour: {meaning}.",
            short_note=f"{_MARK} {level} in {test}. Full colour: {meaning}.",
        ),
        width=width,
        ax=ax,
    )
    return ComparisonMatrixArtists(
        figure=grid.figure,
        axes=grid.axes,
        cells=grid.cells,
        texts={(rows[i], columns[j]): text for (i, j), text in grid.texts.items()},
        row_names=grid.row_names,
        column_names=grid.column_names,
        small_print=grid.small_print,
    )


def _pairs(number: int) -> str:
    return "one pair" if number == 1 else f"{number} pairs"


def _cells(comparison: PairwiseComparison, score_format: str) -> list[list[str]]:
    differences = comparison.mean_differences.to_numpy(dtype=float)
    p_values = comparison.adjusted_p_values.to_numpy(dtype=float)
    counts = np.stack([table.to_numpy() for table in (comparison.wins, comparison.ties, comparison.losses)], axis=2)
    texts: list[list[str]] = []
    for i, row in enumerate(comparison.mean_differences.index):
        texts.append([])
        for j, column in enumerate(comparison.mean_differences.columns):
            difference = signed(float(differences[i, j]), score_format)
            count = "/".join(map(str, counts[i, j]))
            p_text = f"{p_values[i, j]:.3f}" if p_values[i, j] >= 0.001 else "<0.001"
            if row == column:
                texts[i].append("")
            elif comparison.against is None:
                texts[i].append(f"{difference}\n{count}\n{p_text}")
            else:
                texts[i].append(f"{difference}   {count}   p {p_text if p_text[0] == '<' else f'= {p_text}'}")
    return texts
