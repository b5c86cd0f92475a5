"""The paper's Table 1 and Figure 1 from a sweep's files: numbers, dots, and the weights behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import draw_scores, order_of, paper_table, save_figure, summarise
from bdw.atomic import write_text
from bdw.report.figure import CSS_PIXELS_PER_INCH, DENSITY
from bdw.report.planted import groups
from bdw.report.sweep_report import FIGURES
from bdw.report.weights_figures import PruningRule, density, planted_histogram

Results = pd.DataFrame
METRIC = "pretext_loss"
PAPERS_ORDER = ("Oracle", "BDW", "VAE")
"""Methods whose order the paper's text rests on, the best first."""

_NOTE = (
    "Test loss in nats up to a constant (squared error over pixels in [-1, 1] plus divergence), lower is better: mean "
    "and sample standard deviation over seeds, the paper's value in brackets (it gives no deviation)."
)


def write_table(results: pd.DataFrame, folder: Path) -> list[str]:
    """table_1.csv, table_1.md and the dot plot table_1.png and .pdf; returns what holds of the paper's order, in words.

    Args:
        results: the long results table, with rows of the metric `pretext_loss`.
        folder: the sweep's.
    """
    published = paper_table(1)
    summary = summarise(results, METRIC)
    paper = published.set_index(["method", "domain"])["value"]
    keys = pd.MultiIndex.from_frame(summary[["method", "domain"]])
    table = summary.assign(paper=paper.reindex(keys).to_numpy())
    write_text(folder / "table_1.csv", table.to_csv(index=False))
    said = order_in_words(summary)
    write_text(folder / "table_1.md", "\n\n".join([_NOTE, markdown(table), *said]) + "\n")
    drawn = draw_scores(summary, value_label="test loss (nats, lower is better)", published=published)
    for ending in ("png", "pdf"):
        save_figure(drawn.figure, folder / f"table_1.{ending}")
    return said


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table, methods down and domains across: `181.0 ± 0.4 [178.95]`."""
    domains = list(dict.fromkeys(table["domain"]))
    cells = {(row.method, row.domain): _cell(row) for row in table.itertuples()}
    lines = [f"| method | {' | '.join(domains)} |", "|---|" + "---:|" * len(domains)]
    for method in dict.fromkeys(table["method"]):
        lines.append(f"| {method} | {' | '.join(cells.get((method, domain), '–') for domain in domains)} |")
    return "\n".join(lines)


def order_in_words(summary: pd.DataFrame) -> list[str]:
    """For every domain with all of Oracle, BDW and VAE: their order by mean, and whether it is the paper's."""
    said = []
    for domain in dict.fromkeys(summary["domain"]):
        order = order_of(summary, domain, PAPERS_ORDER, higher_is_better=False)
        if len(order) == len(PAPERS_ORDER):
            verdict = "as in the paper" if tuple(order) == PAPERS_ORDER else "not the paper's order"
            said.append(f"{domain}: {' < '.join(order)}, {verdict}.")
    return said


def draw_weights(runs: Mapping[str, Path], folder: Path) -> list[dict[str, str]]:
    """Figure 1a and 1b of one run a domain: figure_1a_DOMAIN.png and figure_1b_DOMAIN.png.

    Returns an entry for figures.json for each.
    """
    entries = []
    for domain, run in runs.items():
        weights = pd.read_parquet(run / "instance_weights.parquet")
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))["config"]
        by_kind = groups(weights, domain)
        means = {title: rows["mean"] for title, rows in by_kind.items()}
        medians = {title: (rows["a"].median(), rows["b"].median()) for title, rows in by_kind.items()}
        rule = PruningRule(config["cdf_threshold"], config["density_threshold"]) if config["prune"] else None
        for letter, figure, what in (
            ("a", planted_histogram(means), "Mean weights of the source images"),
            ("b", density(weights["a"], weights["b"], rule=rule, medians=medians), "Density of a and b"),
        ):
            file = folder / f"figure_1{letter}_{domain}.png"
            figure.set_dpi(CSS_PIXELS_PER_INCH * DENSITY)
            save_figure(figure, file)
            caption = f"{what} after the last epoch, target {domain} (paper, Figure 1{letter})."
            entries.append({"file": file.name, "alternative": f"{what}, target {domain}", "caption": caption})
    return entries


def write_figures(folder: Path, said: Sequence[str], weights: Sequence[Mapping[str, str]]) -> None:
    """figures.json, which puts the table's picture and those of the weights into the report."""
    table: dict[str, Any] = {
        "file": "table_1.png",
        "alternative": "Test losses by method and target",
        "caption": f"Test losses against the paper's. {' '.join(said)}",
    }
    write_text(folder / FIGURES, json.dumps({"Table 1": [table], "Figure 1": list(weights)}, indent=2) + "\n")


def _cell(row: Any) -> str:
    deviation = "" if pd.isna(row.standard_deviation) else f" ± {row.standard_deviation:.2f}"
    paper = "" if pd.isna(row.paper) else f" [{row.paper:.2f}]"
    return f"{row.mean:.2f}{deviation}{paper}"
