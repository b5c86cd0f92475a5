"""The story of a sweep at equal budget, as files for its page: story.json, curves.png and the tables."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import (
    AnalysisInputError,
    Comparison,
    EqualBudgetTables,
    TextTable,
    TimeToScore,
    compare,
    equal_budget_tables,
    read_curves,
    time_to_score,
)
from analysis.statistics.comparison import TEST_NAMES
from bdw.evaluation import Measure
from bdw.storage.atomic_write import write_text
from sweeps.results.figures import CURVES, CURVES_CAPTION, draw_curves
from sweeps.results.target_dependence import target_dependence
from sweeps.results.verdict import Findings, sentences

CURVES_TABLE = "curves.parquet"
"""The file of training curves that makes a sweep one at equal budget."""
STORY = "story.json"
_FILES = (STORY, CURVES, "equal_budget.md", "equal_budget.html")


def tell_story(
    results: pd.DataFrame,
    folder: Path,
    *,
    measure: Measure,
    baseline: str,
    oracles: Collection[str] = (),
    subject: str | None = None,
    remark: str = "",
    validation_images: Mapping[str, int] | None = None,
) -> str | None:
    """Write story.json, curves.png, equal_budget.md and equal_budget.html from the results and curves.parquet.

    Args:
        results: the long results table; its test scores make the gains.
        folder: the sweep's; holds curves.parquet.
        measure: of the scores.
        baseline: name of the method to compare with. oracles: methods that know what no real one can; the verdict uses
            the first of them. Those without rows are ignored.
        subject: the method that the verdict is about. None, or a method without rows: the best real competitor, and the
        verdict says that it was chosen afterwards.
        remark: what a reader must know before drawing conclusions.
        validation_images: target domain -> number of images that validation scores are measured on.

    Returns:
        why there is no story, or None if there is one. Earlier files are deleted in any case.
    """
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
    rows = results[results["metric"] == measure.name]
    present = list(dict.fromkeys(rows["method"]))
    oracles = tuple(name for name in oracles if name in present)
    if baseline not in present or not set(present) - {baseline, *oracles}:
        return f"{STORY}: no results of {baseline!r} and another method, so that there is nothing to tell"
    try:
        curves = read_curves(folder / CURVES_TABLE)
        curves = curves[curves["method"].isin(present)]
        times = time_to_score(curves, baseline=baseline, higher_is_better=measure.higher_is_better)
        tables = equal_budget_tables(
            rows,
            baseline=baseline,
            higher_is_better=measure.higher_is_better,
            percent=measure.is_share,
            oracles=oracles,
            times=times,
        )
    except AnalysisInputError as error:
        return f"{STORY}: {error}"
    candidates = [name for name in tables.gains if name not in oracles]
    if not candidates:
        return f"{STORY}: no method shares a domain and a seed with {baseline!r}"
    chosen = subject if subject in candidates else max(candidates, key=lambda name: tables.gains[name].mean)
    found = _findings(
        rows,
        tables,
        times,
        measure,
        chosen,
        baseline,
        oracles,
        num_candidates=1 if chosen == subject else len(candidates),
    )
    missing = draw_curves(curves, measure, baseline, oracles, folder / CURVES)
    write_text(folder / "equal_budget.md", f"{tables.methods.to_markdown()}\n{tables.domains.to_markdown()}")
    write_text(folder / "equal_budget.html", f"{tables.methods.to_html()}\n{tables.domains.to_html()}")
    dependence = target_dependence(rows, folder, method=chosen)
    story = {
        "verdict": sentences(found),
        "remark": remark,
        "findings": {**dataclasses.asdict(found), "oracle_share": found.oracle_share},
        "validation_images": dict(validation_images or {}),
        "target_dependence": None if dependence is None else dataclasses.asdict(dependence),
        "example_run": _example_run(rows, chosen),
        "tables": {"methods": _plain(tables.methods), "domains": _plain(tables.domains)},
        "curves": None if missing else {"file": CURVES, "caption": CURVES_CAPTION.format(baseline=baseline)},
    }
    write_text(folder / STORY, json.dumps(_finite(story), indent=2) + "\n")
    return missing


def _findings(
    rows: pd.DataFrame,
    tables: EqualBudgetTables,
    times: TimeToScore,
    measure: Measure,
    method: str,
    baseline: str,
    oracles: Collection[str],
    *,
    num_candidates: int,
) -> Findings:
    gain, factor = tables.gains[method], measure.factor
    oracle = next((name for name in oracles if name in tables.gains), None)
    of_oracle = None if oracle is None else tables.gains[oracle]
    # Means over the very domains and seeds that are paired, so that they differ by the gain.
    shared = rows[rows["domain"].isin(gain.by_domain.index) & rows["method"].isin([method, baseline])]
    wide = shared.pivot(index=["domain", "seed"], columns="method", values="value").dropna()
    means = wide.groupby(level="domain").mean().mean()
    known = times.summary.astype(float).to_dict("index") if method in times.summary.index else None
    comparison = _comparison(rows, measure)
    return Findings(
        method=method,
        baseline=baseline,
        label=measure.label,
        is_share=measure.is_share,
        decimals=measure.decimals,
        mean=factor * float(means[method]),
        baseline_mean=factor * float(means[baseline]),
        gain=factor * gain.mean,
        gain_low=None if gain.low is None else factor * gain.low,
        gain_high=None if gain.high is None else factor * gain.high,
        num_domains=gain.num_domains,
        num_better=gain.num_better,
        num_seeds=gain.num_seeds,
        num_candidates=num_candidates,
        seconds_ratio=None if known is None else known[method]["seconds_ratio"],
        images_ratio=None if known is None else known[method]["images_ratio"],
        share_reached=math.nan if known is None else known[method]["share_reached"],
        baseline_ratio=None if known is None else known[baseline]["seconds_ratio"],
        test=None if comparison is None else TEST_NAMES[comparison.test],
        p_value=math.nan if comparison is None else comparison.p_value,
        is_significant=comparison is not None and comparison.is_significant,
        differs=comparison is not None and comparison.differs(method, baseline),
        num_methods=0 if comparison is None else comparison.num_methods,
        oracle=oracle,
        oracle_gain=math.nan if of_oracle is None else factor * of_oracle.mean,
        oracle_low=None if of_oracle is None or of_oracle.low is None else factor * of_oracle.low,
    )


def _comparison(rows: pd.DataFrame, measure: Measure) -> Comparison | None:
    """The test over all methods; None where cells are missing or there is one domain."""
    try:
        return compare(rows, higher_is_better=measure.higher_is_better)
    except AnalysisInputError:
        return None


def _example_run(rows: pd.DataFrame, method: str) -> str:
    """The folder of the method's first run, whose images and weights the page shows."""
    own = rows[rows["method"] == method]
    return str(own["run"].iloc[0]) if "run" in own.columns else ""


def _plain(table: TextTable) -> dict[str, Any]:
    """A table for a page: headings, rows of texts, and which cells (row, column) are bold."""
    frame, best = table.to_frame(), table.best().to_numpy()
    return {
        "headings": [table.corner, *table.columns],
        "rows": [[str(name), *map(str, cells)] for name, *cells in frame.itertuples()],
        "bold": [[row, column + 1] for row, column in zip(*(where.tolist() for where in best.nonzero()), strict=True)],
        "note": table.note,
    }


def _finite(value: Any) -> Any:
    """The same value in JSON's terms: NaN becomes None, infinity a text."""
    if isinstance(value, Mapping):
        return {name: _finite(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(own) for own in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "infinity"
    return value
