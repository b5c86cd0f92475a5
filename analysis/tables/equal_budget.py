"""A comparison at equal budget as two tables: what each method brought over the baseline, and domains by methods."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import OptionError, listing
from analysis.figures.number_format import signed
from analysis.results_table import domain_means, rows_of_metric
from analysis.rounding import tie_what_is_equal
from analysis.statistics.paired_gain import PairedGain, paired_gain
from analysis.statistics.time_to_score import TimeToScore
from analysis.tables.number_text import are_best, number_text, sensible_decimals
from analysis.tables.score_tables import score_tables
from analysis.tables.text_table import Cell, Section, TextTable

_COSTS = {
    "seconds": ("wall_seconds", 1.0, 1),
    "images": ("instances_seen", 1.0, 0),
    "kept (%)": ("kept_fraction", 100, 0),
}


@dataclass(frozen=True, kw_only=True)
class EqualBudgetTables:
    """Two tables of one comparison, and the numbers behind the first. Made by `equal_budget_tables`."""

    methods: TextTable
    """A row a method: mean score, gain over the baseline with interval and p-value, domains, how much sooner, costs."""
    domains: TextTable
    """A row a domain, a column a method: mean and standard deviation over seeds; the last row is the average."""
    gains: Mapping[str, PairedGain]
    """By method, the baseline not among them; without methods that share no domain and seed with it."""


def equal_budget_tables(
    results: pd.DataFrame,
    *,
    baseline: str,
    higher_is_better: bool,
    metric: str | None = None,
    percent: bool = False,
    oracles: Collection[str] = (),
    times: TimeToScore | None = None,
) -> EqualBudgetTables:
    """Lay out which methods are better than the baseline, by how much, how surely and at what cost.

    The best score of the real competitors is bold, the baseline among them; an oracle competes for nothing. Gains are
    paired by domain and seed, with Student's interval over domains and the p-value of the paired t-test, each method
    by itself (see `paired_gain`). Costs are means over a method's runs. Columns that nothing fills are left out.

    Args:
        results: long results table; wall_seconds, instances_seen and kept_fraction (0 to 1) are shown if there.
        baseline: name of the method that the others are compared with.
        higher_is_better: direction of the scores.
        metric: which metric; None where the table holds exactly one.
        percent: show scores times 100, with one decimal.
        oracles: methods that know what no real one can.
        times: of the same runs, for the columns that say how much sooner.

    Returns:
        the two tables and the gains; both tables have `to_markdown`, `to_html` and `to_latex`.

    Raises:
        OptionError: a baseline or an oracle that is not in the table.
        AnalysisInputError: as `score_tables`.
    """
    rows = rows_of_metric(results, metric)
    methods = list(dict.fromkeys(rows["method"]))
    unknown = [name for name in (baseline, *oracles) if name not in methods]
    if unknown:
        raise OptionError(f"methods: {listing(unknown)} not in the table; allowed: {listing(methods)}")
    name = str(rows["metric"].iloc[0])
    domains = score_tables(
        rows,
        higher_is_better=higher_is_better,
        metric=name,
        percent=percent,
        average=rows["domain"].nunique() > 1,
        average_rank=False,
        domains_down=True,
        not_competing=oracles,
    )
    pairs = {tuple(pair) for pair in rows.loc[rows["method"] == baseline, ["domain", "seed"]].itertuples(index=False)}
    gains = {}
    for method in methods:
        own = rows.loc[rows["method"] == method, ["domain", "seed"]].itertuples(index=False)
        if method != baseline and any(tuple(pair) in pairs for pair in own):
            gains[method] = paired_gain(
                rows, method=method, baseline=baseline, higher_is_better=higher_is_better, metric=name
            )
    wide = tie_what_is_equal(domain_means(rows, allow_missing=True).dropna()) * (100.0 if percent else 1.0)
    decimals = 1 if percent else sensible_decimals(wide.mean(), wide.std() / math.sqrt(max(1, len(wide))))
    columns = _columns(rows, wide, gains, times, methods, baseline, oracles, higher_is_better, percent, decimals)
    filled = {heading: cells for heading, cells in columns.items() if any(cell is not None for cell in cells.values())}
    body = tuple((method, tuple(cells.get(method) for cells in filled.values())) for method in methods)
    return EqualBudgetTables(
        methods=TextTable(
            caption="",
            corner="method",
            columns=tuple(filled),
            sections=(Section(title="", rows=body),),
            note=_note(baseline, oracles, len(wide), rows["domain"].nunique(), times, bool(gains)),
        ),
        domains=domains,
        gains=gains,
    )


def _columns(
    rows: pd.DataFrame,
    wide: pd.DataFrame,
    gains: Mapping[str, PairedGain],
    times: TimeToScore | None,
    methods: list[str],
    baseline: str,
    oracles: Collection[str],
    higher_is_better: bool,
    percent: bool,
    decimals: int,
) -> dict[str, dict[str, Cell | None]]:
    """Heading -> method -> cell."""
    means = wide.mean() if len(wide) else pd.Series(np.nan, index=wide.columns)
    best = are_best(means.where(~means.index.isin(list(oracles))), higher_is_better=higher_is_better)
    factor = 100.0 if percent else 1.0
    columns: dict[str, dict[str, Cell | None]] = {
        "mean": {
            str(method): None if math.isnan(mean) else Cell(text=number_text(float(mean), decimals), is_best=is_best)
            for (method, mean), is_best in zip(means.items(), best, strict=True)
        },
        f"gain over {baseline}": {method: _gain(gain, factor, decimals) for method, gain in gains.items()},
        "p": {method: None if gain.p_value is None else Cell(text=_p(gain.p_value)) for method, gain in gains.items()},
        "better on": {method: Cell(text=f"{gain.num_better} of {gain.num_domains}") for method, gain in gains.items()},
    }
    if times is not None:
        for kind in ("seconds", "images"):
            columns[f"sooner ({kind})"] = {
                str(method): _sooner(float(ratio)) for method, ratio in times.summary[f"{kind}_ratio"].items()
            }
        columns["reached (% of runs)"] = {
            str(method): Cell(text=f"{100 * share:.0f}") for method, share in times.summary["share_reached"].items()
        }
    for heading, (column, scale, digits) in _COSTS.items():
        if column in rows.columns:
            costs = {
                method: scale * float(pd.to_numeric(rows.loc[rows["method"] == method, column]).mean())
                for method in methods
            }
            columns[heading] = {
                method: None if math.isnan(cost) else Cell(text=number_text(cost, digits))
                for method, cost in costs.items()
            }
    return columns


def _gain(gain: PairedGain, factor: float, decimals: int) -> Cell:
    specification = f".{decimals}f"
    text = signed(factor * gain.mean, specification)
    if gain.low is None or gain.high is None:
        return Cell(text=text)
    ends = (signed(factor * end, specification) for end in (gain.low, gain.high))
    return Cell(text=text, spread=f"[{', '.join(ends)}]")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _sooner(ratio: float) -> Cell:
    if ratio == 0:
        return Cell(text="never")
    return Cell(text="at once" if math.isinf(ratio) else f"{ratio:.1f}×")


def _note(
    baseline: str, oracles: Collection[str], common: int, all_domains: int, times: TimeToScore | None, compared: bool
) -> str:
    parts = []
    where = (
        f"{common} domains" if common == all_domains else f"the {common} of {all_domains} domains that all completed"
    )
    outside = f"; {listing(oracles)} not counted" if oracles else ""
    parts.append(f"Mean: over {where}, of the means over seeds. Bold: the best mean{outside}.")
    if compared:
        parts.append(
            f"Gain: over {baseline} on the same domains and seeds, with Student's 95 % interval over domains; p: "
            "paired t-test over domains, each method by itself."
        )
    if times is not None:
        parts.append(
            f"Sooner: what {baseline} spent in all, divided by what the method had spent when it reached {baseline}'s "
            "final validation score: the median over domains, never where half of them or more do not reach it."
        )
    return " ".join(parts)
