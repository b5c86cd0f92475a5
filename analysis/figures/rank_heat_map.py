"""Ranks as a heat map: which method is how good on which domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.errors import OptionError, listing, shown
from analysis.figures.cell_grid import ColourScale, GridContents, draw_cell_grid
from analysis.figures.figure_style import COLUMN_WIDTH, require_width
from analysis.figures.number_format import formatted
from analysis.score_table import score_table
from analysis.statistics.friedman import rank_domains

# Even to the eye and to colour-blind eyes; dark, the eye-catcher, is the best rank.
_COLOURS = "cividis"
_AVERAGE = "average rank"


@dataclass(frozen=True, kw_only=True)
class RankHeatMapArtists:
    """Everything that `draw_rank_heat_map` drew, and the ranks in the order drawn."""

    figure: Figure
    axes: Axes
    ranks: pd.DataFrame
    """(num_domains, num_methods), 1 = best, ties share the mean of their ranks; methods by average rank."""
    average_ranks: pd.Series[float]
    cells: PolyCollection
    """One for each domain and method, row by row, then one a method for the average."""
    digits: dict[tuple[str, str], Text]
    """By (domain, method); empty where the cells are too small to read them."""
    domain_names: tuple[Text, ...]
    """The last one is the row of averages."""
    method_names: tuple[Text, ...]
    group_names: tuple[Text, ...]
    small_print: tuple[Text, ...]


def draw_rank_heat_map(
    scores: pd.DataFrame,
    *,
    higher_is_better: bool,
    metric: str | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    with_scores: bool = False,
    score_format: str = ".3g",
    title: str = "",
    width: float = COLUMN_WIDTH,
    ax: Axes | None = None,
) -> RankHeatMapArtists:
    """Draw the rank of every method on every domain, the methods from the best average rank to the worst.

    The last row holds the average ranks. Thirty methods on thirty domains are readable over both columns of a page
    (`FULL_WIDTH`); in one column their digits are left out and the colours remain.

    Args:
        scores: wide table (index = domains, columns = methods) or long results table, as for `compare`.
        higher_is_better: direction of the scores.
        metric: which metric of a long table; None where it holds exactly one.
        groups: heading -> domains below it, in the order to draw; each domain in exactly one. None: as in the table.
        with_scores: write the score below each rank.
        score_format: format specification of the scores, such as ".1f".
        title: written at the top.
        width: inches, where `ax` is None; the height follows.
        ax: axes to fill.

    Returns:
        the artists; `.figure` is what to save.

    Raises:
        AnalysisInputError: as `compare`; OptionError for groups that do not fit the domains, or a format that is none.
    """
    require_width(width)
    table = score_table(scores, higher_is_better=higher_is_better, metric=metric)
    domains, headings = _grouped(list(table.index), groups)
    ranks = rank_domains(table, higher_is_better=higher_is_better)
    average = ranks.sum(axis=0) / len(ranks)
    methods = sorted(average.index, key=lambda method: (average[method], method))
    ranks, average, table = ranks.loc[domains, methods], average[methods], table.loc[domains, methods]

    texts = [[f"{rank:g}" for rank in row] for row in ranks.to_numpy().tolist()]
    if with_scores:
        written = [[formatted(score, score_format) for score in row] for row in table.to_numpy().tolist()]
        texts = [
            [f"{rank}\n{score}" for rank, score in zip(*pair, strict=True)] for pair in zip(texts, written, strict=True)
        ]
    # More than one decimal would be the widest thing by far where ranks have two digits.
    decimals = 2 if len(methods) < 10 else 1
    colours = colormaps[_COLOURS]
    all_ranks = np.vstack([ranks.to_numpy(), average.to_numpy()])
    grid = draw_cell_grid(
        GridContents(
            row_names=[*domains, _AVERAGE],
            column_names=methods,
            colours=np.asarray(colours((all_ranks - 1) / (len(methods) - 1))),
            texts=[*texts, [f"{rank:.{decimals}f}" for rank in average]],
            headings={**headings, len(domains): ""},
            scale=ColourScale(colours=colours, low_label="rank 1 (best)", high_label=f"{len(methods)}"),
            title=title,
        ),
        width=width,
        ax=ax,
    )
    return RankHeatMapArtists(
        figure=grid.figure,
        axes=grid.axes,
        ranks=ranks,
        average_ranks=average,
        cells=grid.cells,
        digits={
            (domains[row], methods[column]): text for (row, column), text in grid.texts.items() if row < len(domains)
        },
        domain_names=grid.row_names,
        method_names=grid.column_names,
        group_names=grid.headings,
        small_print=grid.small_print,
    )


def _grouped(domains: list[str], groups: Mapping[str, Sequence[str]] | None) -> tuple[list[str], dict[int, str]]:
    """The domains in the groups' order, and above which row which heading stands."""
    if groups is None:
        return domains, {}
    ordered: list[str] = []
    headings: dict[int, str] = {}
    for heading, members in groups.items():
        if isinstance(members, str) or len(members) == 0:
            raise OptionError(f"groups: {shown(members)} for {heading!r}; allowed: a list of at least one domain")
        headings[len(ordered)] = str(heading)
        ordered.extend(map(str, members))
    twice = sorted({domain for domain in ordered if ordered.count(domain) > 1})
    unknown = [domain for domain in ordered if domain not in domains]
    absent = [domain for domain in domains if domain not in ordered]
    for wrong, what in ((twice, "more than once"), (unknown, "not in the table"), (absent, "in no group")):
        if wrong:
            raise OptionError(f"groups: {listing(wrong)} {what}; allowed: each of {listing(domains)} once")
    return ordered, headings
