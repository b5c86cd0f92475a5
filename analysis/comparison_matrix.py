"""Every pair of methods in numbers: the multi-comparison matrix of Ismail-Fawaz et al. 2023 (arXiv 2305.11921).

What it says of two methods depends on these two alone, not on which others are in the table, as ranks do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats

from analysis.cell_grid import ColourScale, GridContents, draw_cell_grid
from analysis.errors import OptionError, listing, shown
from analysis.figure_style import COLUMN_WIDTH, require_width
from analysis.number_format import formatted, signed
from analysis.score_table import score_table

Floats = npt.NDArray[np.float64]

# Blue and red of ColorBrewer, which colour-blind readers tell apart; white is no difference.
_COLOURS = "RdBu"
_NO_PAIR = (0.93, 0.93, 0.93, 1.0)
_MARK = "•"


@dataclass(frozen=True, kw_only=True, eq=False)
class PairwiseComparison:
    """What `compare_pairs` found. In all tables a row is compared with a column."""

    mean_scores: pd.Series[float]
    """(k,) by method, best first, by name where they tie."""
    mean_differences: pd.DataFrame
    """Mean over domains of row minus column, in the unit of the scores."""
    wins: pd.DataFrame
    """On how many domains the row is better."""
    ties: pd.DataFrame
    losses: pd.DataFrame
    p_values: pd.DataFrame
    """Two-sided Wilcoxon signed-rank tests over the domains, each pair by itself: not corrected for their number. 1 for
    a method against itself."""
    num_domains: int
    alpha: float
    against: str | None
    """The control, the only column; None where all are compared with all."""
    higher_is_better: bool

    @property
    def differs(self) -> pd.DataFrame:
        """Whether p is below alpha."""
        return self.p_values < self.alpha


@dataclass(frozen=True, kw_only=True)
class ComparisonMatrixArtists:
    """Everything that `draw_comparison_matrix` drew."""

    figure: Figure
    axes: Axes
    cells: PolyCollection
    """Row by row; a method against itself is grey."""
    texts: dict[tuple[str, str], Text]
    """By (row, column): mean difference; wins/ties/losses; p. Only a dot where p < alpha if the cells are too small,
    and nothing if they are too small for that."""
    row_names: tuple[Text, ...]
    column_names: tuple[Text, ...]
    small_print: tuple[Text, ...]


def compare_pairs(
    scores: pd.DataFrame,
    *,
    higher_is_better: bool,
    metric: str | None = None,
    alpha: float = 0.05,
    against: str | None = None,
) -> PairwiseComparison:
    """Compare every two methods, or all with one.

    Args:
        scores: wide table (index = domains, columns = methods) or long results table, as for `compare`.
        higher_is_better: direction of the scores.
        metric: which metric of a long table; None where it holds exactly one.
        alpha: level of each test, in (0, 1).
        against: the method to compare all others with.

    Returns:
        a `PairwiseComparison`; its tables are (k, k), or (k - 1, 1) with `against`.

    Raises:
        AnalysisInputError: as `compare`; OptionError for an unknown control or a level outside (0, 1).
    """
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < 1:
        raise OptionError(f"alpha: {shown(alpha)}; allowed: between 0 and 1, both excluded")
    table = score_table(scores, higher_is_better=higher_is_better, metric=metric)
    if against is not None and against not in table.columns:
        raise OptionError(f"against: {shown(against)} is not a method; allowed: {listing(table.columns)}")
    sign = 1 if higher_is_better else -1
    means = {method: math.fsum(table[method]) / len(table) for method in table.columns}
    methods = sorted(means, key=lambda method: (-sign * means[method], method))
    rows = [method for method in methods if method != against]
    columns = methods if against is None else [against]

    differences = table[rows].to_numpy()[:, :, None] - table[columns].to_numpy()[:, None, :]

    def frame(values: npt.NDArray[np.generic]) -> pd.DataFrame:
        return pd.DataFrame(values, index=pd.Index(rows, dtype=object), columns=pd.Index(columns, dtype=object))

    return PairwiseComparison(
        mean_scores=pd.Series([means[method] for method in methods], index=pd.Index(methods, dtype=object)),
        mean_differences=frame(differences.mean(axis=0)),
        wins=frame((sign * differences > 0).sum(axis=0)),
        ties=frame((differences == 0).sum(axis=0)),
        losses=frame((sign * differences < 0).sum(axis=0)),
        p_values=frame(_p_values(table, rows, columns)),
        num_domains=len(table),
        alpha=float(alpha),
        against=against,
        higher_is_better=bool(higher_is_better),
    )


def _p_values(table: pd.DataFrame, rows: list[str], columns: list[str]) -> Floats:
    found = {(row, row): 1.0 for row in rows}
    for row in rows:
        for column in columns:
            if (row, column) not in found:
                found[row, column] = found[column, row] = _p_value(table[row] - table[column])
    return np.array([[found[row, column] for column in columns] for row in rows])


def _p_value(differences: pd.Series[float]) -> float:
    """Wilcoxon's signed-rank test, zeros by Pratt's rule as in the paper: they count against a difference."""
    if not differences.any():
        return 1.0
    # 0.3 - 0.2 and 0.2 - 0.1 must tie.
    largest = float(differences.abs().max())
    rounded = (differences / largest).round(12)
    return float(stats.wilcoxon(rounded, zero_method="pratt").pvalue)


def draw_comparison_matrix(
    comparison: PairwiseComparison,
    ax: Axes | None = None,
    *,
    score_format: str | None = None,
    title: str = "",
    width: float = COLUMN_WIDTH,
) -> ComparisonMatrixArtists:
    """Draw a multi-comparison matrix; its colours are the mean differences.

    Seven methods are readable in one column of a paper, fifteen over both (`FULL_WIDTH`); with more of them a dot in
    each cell with p < alpha takes the place of the numbers. A control's column holds any number of methods.

    Args:
        comparison: from `compare_pairs`.
        ax: axes to fill; None makes a figure.
        score_format: format specification of means and mean differences, such as ".1f"; None: as many decimals as give
            the largest difference three digits.
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
    if score_format is None:
        score_format = f".{max(0, 2 - math.floor(math.log10(largest)))}f"
    scale = colormaps[_COLOURS]
    colours = np.asarray(scale(0.5 + sign * differences / largest / 2))
    is_self = np.array([[row == column for column in columns] for row in rows])
    colours[is_self] = _NO_PAIR
    differs = comparison.differs.to_numpy()
    control = comparison.against
    most = formatted(largest, score_format)
    level = f"p < {comparison.alpha:g}"
    measured = (
        f"In each cell: mean difference ({'row minus column' if control is None else f'row minus {control}'}); "
        f"wins/ties/losses over {comparison.num_domains} domains; p of Wilcoxon's signed-rank test of this pair alone"
    )
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
            note=f"{measured}, bold where {level}.",
            short_note=f"{_MARK} {level} in Wilcoxon's signed-rank test of this pair alone.",
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


def _cells(comparison: PairwiseComparison, score_format: str) -> list[list[str]]:
    differences = comparison.mean_differences.to_numpy(dtype=float)
    p_values = comparison.p_values.to_numpy(dtype=float)
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
