"""The paper's Table 2 from a sweep's results: accuracies by domain and method, average ranks, and their diagrams."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import AnalysisInputError, compare, paper_accuracies, summarise
from analysis.tables.tables_1_to_3 import EVALUATIONS
from bdw import evaluation
from bdw.config import RunConfig
from bdw.evaluation import Measure
from bdw.report.sweep_report import FIGURES
from bdw.report.wording import plural
from bdw.storage.atomic_write import write_text
from sweeps.results.figures import draw_ranks
from sweeps.runner.comparison import Cell
from sweeps.runner.episode_designs import Design

Results = pd.DataFrame
FINE_TUNED = "fine_tuned_accuracy"
PAPERS = {"accuracy": "logistic_regression", FINE_TUNED: "fine_tuned"}
"""Measure -> the evaluation's name in the paper's numbers."""


def write_tables(results: pd.DataFrame, folder: Path, remarks: Sequence[str] = ()) -> None:
    """table_2.md, a table for each of the measures that were taken, and table_2.csv with all of their numbers.

    Args:
        results: the long results table.
        folder: the sweep's.
        remarks: what a reader must know of the numbers, a paragraph each.
    """
    measures = [evaluation.measure(name) for name in PAPERS if (results["metric"] == name).any()]
    summaries = {measure.name: summarise(results, measure.name) for measure in measures}
    tidy = [summary.assign(metric=name) for name, summary in summaries.items()]
    write_text(folder / "table_2.csv", pd.concat(tidy).to_csv(index=False))
    num_seeds = max(int(summary["num_seeds"].max()) for summary in summaries.values())
    parts = [
        f"Accuracy on the test split in %, mean and sample standard deviation over {plural(num_seeds, 'seed')}; the "
        "lowest average rank is the best. The paper ranked four methods, without DW, on the challenge's domains.",
        *remarks,
    ]
    for measure in measures:
        parts += [f"**{EVALUATIONS[measure.name]}**", markdown(results, measure)]
    write_text(folder / "table_2.md", "\n\n".join(parts) + "\n")


def markdown(results: pd.DataFrame, measure: Measure) -> str:
    """A Markdown table of one measure: domains down, methods across, average ranks here and in the paper below."""
    summary = summarise(results, measure.name)
    methods, most = list(dict.fromkeys(summary["method"])), summary["num_seeds"].max()
    found = {(row.domain, row.method): _cell(row, most, measure) for row in summary.itertuples()}
    lines = [f"| target | {' | '.join(methods)} |", "|---|" + "---:|" * len(methods)]
    for domain in dict.fromkeys(summary["domain"]):
        lines.append(f"| {domain} | {' | '.join(found.get((domain, method), '–') for method in methods)} |")
    for title, ranks in _ranks(results, measure):
        shown = (f"{ranks[method]:.2f}" if method in ranks else "–" for method in methods)
        lines.append(f"| {title} | {' | '.join(shown)} |")
    return "\n".join(lines)


def designs_in_words(base: RunConfig, domain_fields: Mapping[str, Mapping[str, Any]], cells: Sequence[Cell]) -> str:
    """The episodes' design, the domains with another one, and where classes had no room for what was wanted."""
    said = [f"Episodes: {Design.of(base)}"]
    for domain, design in {cell.domain: Design.of(cell.config) for cell in cells}.items():
        wanted = Design.of(base.replace(**domain_fields.get(domain, {})))
        cut = "" if design == wanted else f", the largest that fits instead of {wanted}"
        if design != Design.of(base):
            said.append(f"{domain} {design}{cut}")
    return f"{'; '.join(said)}."


def draw_fine_tuned(results: pd.DataFrame, folder: Path, *, remark: str) -> str | None:
    """critical_difference_fine_tuned.png and .pdf, in the report as well; returns why there are none, if so."""
    measure, suffix = evaluation.measure(FINE_TUNED), "_fine_tuned"
    missing = draw_ranks(results, folder, measure=measure, remark=remark, suffix=suffix)
    (folder / FIGURES).unlink(missing_ok=True)
    if missing is not None:
        return missing
    verdict = json.loads((folder / f"comparison{suffix}.json").read_text(encoding="utf-8"))["verdict"]
    entry = {
        "file": f"critical_difference{suffix}.png",
        "alternative": "Critical-difference diagram of the methods, fine-tuned",
        "caption": f"Average ranks by {measure.label}. {' '.join(verdict.splitlines())}",
    }
    write_text(folder / FIGURES, json.dumps({"Fine-tuned": [entry]}, indent=2) + "\n")
    return None


def _ranks(results: pd.DataFrame, measure: Measure) -> Iterator[tuple[str, dict[str, float]]]:
    """Title and ranks by method; ours only where every method was measured on every one of at least two domains."""
    try:
        ours = compare(results[results["metric"] == measure.name], higher_is_better=measure.higher_is_better)
        yield "average rank", dict(ours.average_ranks)
    except AnalysisInputError:
        pass
    papers = compare(paper_accuracies(PAPERS[measure.name]), higher_is_better=True)
    yield "paper's average rank", dict(papers.average_ranks)


def _cell(row: Any, most_seeds: int, measure: Measure) -> str:
    shown = f"{measure.factor * row.mean:.{measure.decimals}f}"
    deviation = "" if pd.isna(row.standard_deviation) else f" ± {measure.factor * row.standard_deviation:.1f}"
    fewer = f" ({plural(row.num_seeds, 'seed')})" if row.num_seeds < most_seeds else ""
    return f"{shown}{deviation}{fewer}"
