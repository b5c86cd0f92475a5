"""Scores of methods on domains as a table for a paper: mean ± spread over seeds, the best in bold."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.errors import AnalysisInputError, DirectionError, NotFiniteError, OptionError, listing, shown
from analysis.options import require_whole
from analysis.results_table import is_long, metric_direction, rows_of_metric
from analysis.rounding import tie_what_is_equal
from analysis.score_table import checked_wide
from analysis.statistics import friedman
from analysis.tables.number_text import are_best, number_text, sensible_decimals
from analysis.tables.score_summary import summarise
from analysis.tables.text_table import Cell, Section, TextTable

AVERAGE, AVERAGE_RANK = "average", "average rank"


def score_tables(
    scores: pd.DataFrame,
    *,
    higher_is_better: bool,
    metric: str | Mapping[str, str] | None = None,
    percent: bool = False,
    decimals: int | None = None,
    average: bool = False,
    average_rank: bool = True,
    domains_down: bool = False,
    not_competing: Collection[str] = (),
    caption: str = "",
) -> TextTable:
    """Lay scores out as a table: methods down, domains across, one section for each metric.

    A cell is "mean ± sample standard deviation over seeds", or the mean alone where there was one seed. The best mean
    of a domain is bold, and whatever equals it; this is decided before rounding and claims no significance. Cells that
    were not measured are dashes. A section with such a cell has no average and no average rank, since methods measured
    on different domains cannot be compared.

    Args:
        scores: wide or long table, as for `compare`, but cells may be missing (NaN in a wide table, no rows in a long
            one), and one method or one domain is enough.
        higher_is_better: direction of all the metrics.
        metric: which metric of a long table; None where it holds exactly one; a mapping from metrics to titles for a
            section each.
        percent: show scores times 100, with one decimal.
        decimals: None for as many as show two digits of the typical deviation, or four of the mean without deviations.
        average: add the mean over domains; of use where domains share a scale.
        average_rank: add the mean over domains of the rank within a domain, 1 = best, if there are two or more of
            both.
        domains_down: domains down and methods across, for many domains.
        not_competing: methods that are never bold, such as an oracle, which knows what no real method can.
        caption: of the table, plain text.

    Returns:
        a `TextTable`.

    Raises:
        AnalysisInputError: as `compare`, but for missing cells; decimals below 0.
    """
    if decimals is not None:
        require_whole("decimals", decimals, at_least=0)
    titles: dict[str | None, str] = dict(metric.items()) if isinstance(metric, Mapping) else {metric: ""}
    if not titles:
        raise OptionError("metric: none of them; allowed: at least one")
    blocks = {
        name: _Block.of(_summary(scores, name, higher_is_better=higher_is_better), percent, decimals) for name in titles
    }
    extra = [name for name, wanted in ((AVERAGE, average), (AVERAGE_RANK, average_rank)) if wanted]
    domains = _in_order(block.means.index for block in blocks.values())
    methods = _in_order(block.means.columns for block in blocks.values())
    taken = sorted({*domains} & {*extra})
    if taken:
        raise OptionError(f"domains: {listing(taken)} is what the averages are called; allowed: another name")
    unknown = sorted({*not_competing} - {*methods})
    if unknown:
        raise OptionError(f"not_competing: {listing(unknown)} not in the table; allowed: {listing(methods)}")
    grids = {
        name: block.cells(extra, higher_is_better=higher_is_better, not_competing=not_competing)
        for name, block in blocks.items()
    }
    # An average that no section has is left out, rather than shown as nothing but dashes.
    extra = [name for name in extra if any((name, method) in grid for grid in grids.values() for method in methods)]
    sections = []
    for name, grid in grids.items():
        means = blocks[name].means
        if domains_down:
            own = [*means.index, *extra]
            rows = [(row, tuple(grid.get((row, method)) for method in methods)) for row in own]
        else:
            own = list(means.columns)
            rows = [(method, tuple(grid.get((column, method)) for column in [*domains, *extra])) for method in own]
        sections.append(Section(title=titles[name], rows=tuple(rows)))
    return TextTable(
        caption=caption,
        corner="domain" if domains_down else "method",
        columns=tuple(methods) if domains_down else (*domains, *extra),
        sections=tuple(sections),
        note=_note(
            list(blocks.values()), percent=percent, higher_is_better=higher_is_better, not_competing=not_competing
        ),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """One metric: domains x methods, NaN where nothing was measured, in the unit that is shown."""

    means: pd.DataFrame
    deviations: pd.DataFrame
    num_seeds: pd.DataFrame
    decimals: int

    @classmethod
    def of(cls, summary: pd.DataFrame, percent: bool, decimals: int | None) -> _Block:
        """From the rows of `summarise`."""
        factor = 100.0 if percent else 1.0
        # What ties for `compare` ties here.
        means = factor * tie_what_is_equal(_wide(summary, "mean"))
        deviations = factor * _wide(summary, "standard_deviation")
        if decimals is None:
            decimals = 1 if percent else sensible_decimals(_known(means), _known(deviations))
        return cls(means=means, deviations=deviations, num_seeds=_wide(summary, "num_seeds"), decimals=decimals)

    @cached_property
    def most_seeds(self) -> int:
        """The largest number of seeds of any cell."""
        return int(max(_known(self.num_seeds)))

    def cells(
        self, extra: list[str], *, higher_is_better: bool, not_competing: Collection[str]
    ) -> dict[tuple[str, str], Cell]:
        """The measured cells, by domain (or name of an average) and method."""
        grid = {}
        competing = ~self.means.columns.isin(list(not_competing))
        tables = (_rows(table) for table in (self.means, self.deviations, self.num_seeds))
        for domain, means, deviations, counts in zip(self.means.index, *tables, strict=True):
            best = are_best(np.where(competing, means, np.nan).tolist(), higher_is_better=higher_is_better)
            for column, method in enumerate(self.means.columns):
                if not math.isnan(means[column]):
                    grid[domain, method] = self._cell(
                        means[column], deviations[column], counts[column], is_best=best[column]
                    )
        if not self.means.isna().to_numpy().any():
            for name in extra:
                grid |= self._averages(name, competing, higher_is_better=higher_is_better)
        return grid

    def _cell(self, mean: float, deviation: float, num_seeds: float, *, is_best: bool) -> Cell:
        spread = "" if math.isnan(deviation) else f"± {number_text(deviation, self.decimals)}"
        if num_seeds < self.most_seeds:
            spread += f" ({num_seeds:.0f} {'seed' if num_seeds == 1 else 'seeds'})"
        return Cell(text=number_text(mean, self.decimals), spread=spread.strip(), is_best=is_best)

    def _averages(
        self, name: str, competing: npt.NDArray[np.bool_], *, higher_is_better: bool
    ) -> dict[tuple[str, str], Cell]:
        if name == AVERAGE:
            values, decimals = self.means.mean(axis=0), self.decimals
        elif len(self.means) < 2 or len(self.means.columns) < 2:
            return {}
        else:
            values, decimals = friedman.rank_domains(self.means, higher_is_better=higher_is_better).mean(axis=0), 2
        best = are_best(values.where(competing), higher_is_better=higher_is_better and name == AVERAGE)
        return {
            (name, str(method)): Cell(text=number_text(float(values[method]), decimals), is_best=is_best)
            for method, is_best in zip(values.index, best, strict=True)
        }


def _summary(scores: pd.DataFrame, metric: str | None, *, higher_is_better: bool) -> pd.DataFrame:
    if not isinstance(scores, pd.DataFrame):
        raise AnalysisInputError(f"scores: {type(scores).__name__}; allowed: a pandas DataFrame, wide or long")
    if not isinstance(higher_is_better, (bool, np.bool_)):
        raise OptionError(f"higher_is_better: {shown(higher_is_better)}; allowed: True, False")
    if not is_long(scores):
        if metric is not None:
            raise OptionError(
                f"metric: {metric!r} with a wide table; allowed: None, since a wide table names no metric"
            )
        scores = _as_long(scores)
    rows = rows_of_metric(scores, metric)
    if "higher_is_better" in rows.columns and metric_direction(rows) != bool(higher_is_better):
        raise DirectionError(
            f"higher_is_better: {bool(higher_is_better)} was asked for, but the table says "
            f"{not higher_is_better}; allowed: the table's own direction"
        )
    return summarise(rows, str(rows["metric"].iloc[0]))


def _as_long(wide: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {"method": method, "domain": domain, "seed": 0, "metric": "score", "value": value}
        for method, column in checked_wide(wide).items()
        for domain, value in column.items()
        if not math.isnan(value)
    ]
    if not rows:
        raise NotFiniteError("scores: no cell with a number; allowed: at least one")
    return pd.DataFrame(rows)


def _note(blocks: list[_Block], *, percent: bool, higher_is_better: bool, not_competing: Collection[str]) -> str:
    most = max(block.most_seeds for block in blocks)
    number = f"Mean ± sample standard deviation over {most} seeds" if most > 1 else "One seed"
    unit = ", in %" if percent else ""
    direction = "higher" if higher_is_better else "lower"
    gaps = "; –: not measured" if any(block.means.isna().to_numpy().any() for block in blocks) else ""
    outside = f", {listing(not_competing)} not counted" if not_competing else ""
    return (
        f"{number}{unit}; {direction} is better. Bold: the best mean before rounding{outside}, whatever its "
        f"significance{gaps}."
    )


def _wide(summary: pd.DataFrame, values: str) -> pd.DataFrame:
    """(domains, methods) in order of first appearance; NaN where nothing was measured."""
    wide = summary.pivot(index="domain", columns="method", values=values).astype(float)
    return wide.reindex(index=summary["domain"].unique(), columns=summary["method"].unique())


def _rows(values: pd.DataFrame) -> list[list[float]]:
    numbers: list[list[float]] = values.to_numpy(dtype=float).tolist()
    return numbers


def _known(values: pd.DataFrame) -> list[float]:
    flat = values.to_numpy(dtype=float).ravel()
    return [float(value) for value in flat[~np.isnan(flat)]]


def _in_order(groups: Iterable[Iterable[object]]) -> list[str]:
    return list(dict.fromkeys(str(name) for group in groups for name in group))
