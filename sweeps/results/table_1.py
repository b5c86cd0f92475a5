"""The paper's Table 1 and Figure 1 from a sweep's files: numbers, dots, and the weights behind them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import draw_scores, order_of, paper_losses, save_figure, summarise
from bdw.config import RunConfig, presets
from bdw.report.figure import CSS_PIXELS_PER_INCH, DENSITY
from bdw.report.planted import groups
from bdw.report.sweep_report import FIGURES
from bdw.report.weights_figures import PruningRule, density, planted_histogram
from bdw.report.wording import plural
from bdw.storage.atomic_write import write_text
from sweeps.runner.episode_designs import Room
from sweeps.runner.paths import portable

Results = pd.DataFrame
METRIC = "pretext_loss"
PAPERS_ORDER = ("Oracle", "BDW", "VAE")
"""Methods whose order the paper's text rests on, the best first."""

PAPERS_PRESET = "mnist_autoencoders"
PAPERS_TARGET_IMAGES = 10_000
FULL_SET = 60_000
"""Training images of each of the three data sets as published."""


def write_table(results: pd.DataFrame, folder: Path, remarks: Sequence[str] = ()) -> list[str]:
    """table_1.csv, table_1.md and the dot plot table_1.png and .pdf; returns sentences on whether the paper's order
    holds.

    Args:
        results: the long results table, with rows of the metric `pretext_loss`.
        folder: the sweep's. remarks: what a reader must know before comparing the numbers with the paper's, a paragraph
            each.
    """
    published = paper_losses()
    summary = summarise(results, METRIC)
    paper = published.set_index(["method", "domain"])["value"]
    keys = pd.MultiIndex.from_frame(summary[["method", "domain"]])
    table = summary.assign(paper=paper.reindex(keys).to_numpy())
    write_text(folder / "table_1.csv", table.to_csv(index=False))
    said = order_in_words(results)
    num_seeds = int(summary["num_seeds"].max())
    note = (
        "Test loss in nats up to a constant (squared error over pixels in [-1, 1] plus divergence), lower is better: "
        f"mean and sample standard deviation over {plural(num_seeds, 'seed')}, the paper's value in brackets (it gives "
        "no deviation)."
    )
    write_text(folder / "table_1.md", "\n\n".join([note, *remarks, markdown(table), *said]) + "\n")
    drawn = draw_scores(summary, value_label="test loss (nats, lower is better)", published=published)
    for ending in ("png", "pdf"):
        save_figure(drawn.figure, folder / f"table_1.{ending}")
    return said


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table, methods down and domains across: `181.00 ± 0.40 [178.95]`, with the seeds where some lack."""
    domains = list(dict.fromkeys(table["domain"]))
    most = table["num_seeds"].max()
    cells = {(row.method, row.domain): _cell(row, most) for row in table.itertuples()}
    lines = [f"| method | {' | '.join(domains)} |", "|---|" + "---:|" * len(domains)]
    for method in dict.fromkeys(table["method"]):
        lines.append(f"| {method} | {' | '.join(cells.get((method, domain), '–') for domain in domains)} |")
    return "\n".join(lines)


def order_in_words(results: pd.DataFrame) -> list[str]:
    """For every domain with all of Oracle, BDW and VAE: their order by mean, whether it is the paper's, and in how many
    seeds it holds.

    Only seeds that all three completed count, so that no method profits from easier ones.
    """
    said = []
    for domain in dict.fromkeys(results["domain"]):
        rows = results[(results["metric"] == METRIC) & (results["domain"] == domain)]
        by_seed = rows[rows["method"].isin(PAPERS_ORDER)].pivot(index="seed", columns="method", values="value").dropna()
        if by_seed.empty or not set(PAPERS_ORDER) <= set(by_seed.columns):
            continue
        shared = rows[rows["seed"].isin(by_seed.index)]
        order = order_of(summarise(shared, METRIC), domain, PAPERS_ORDER, higher_is_better=False)
        verdict = "as in the paper" if tuple(order) == PAPERS_ORDER else "not the paper's order"
        said.append(f"{domain}: {' < '.join(order)}, {verdict}; {_firmness(by_seed, order)}.")
    return said


def _firmness(by_seed: pd.DataFrame, order: Sequence[str]) -> str:
    """The number of seeds in which neighbours in the order are ordered as their means are."""
    num_seeds = len(by_seed)
    if num_seeds == 1:
        return "a single seed"
    held = {f"{a} < {b}": int((by_seed[a] < by_seed[b]).sum()) for a, b in itertools.pairwise(order)}
    weak = [f"{pair} in {held[pair]} of {num_seeds} seeds only" for pair in held if held[pair] < num_seeds]
    return ", ".join(weak) or f"so in each of {num_seeds} seeds"


def differences_in_words(base: RunConfig, rooms: Mapping[str, Room]) -> list[str]:
    """How the runs differ from the paper's: in settings, and in the images that were available.

    Args:
        base: what all runs share, but for their method, target and seed.
        rooms: target -> what was counted there.
    """
    paper = presets.build(PAPERS_PRESET)
    papers, told = paper.flat(), portable(paper).keys() | portable(base).keys()
    changed = [
        f"{name} {value} (paper: {papers[name]})"
        for name, value in base.flat().items()
        if name in told and name != "target" and value != papers[name]
    ]
    settings = (
        f"Not the paper's settings, so that the numbers cannot be held against its: {', '.join(changed)}."
        if changed
        else f"Settings: those of the preset {PAPERS_PRESET}, the paper's as far as it gives them."
    )
    images = "; ".join(
        f"{target}: {room.num_images:,} target images to train on, source of "
        + " + ".join(f"{number:,} {kind}" for kind, number in room.source_kinds.items())
        for target, room in rooms.items()
    )
    data = (
        f"Images here, by target: {images}. The paper has {PAPERS_TARGET_IMAGES:,} target images; the published sets "
        f"have {FULL_SET:,} training images each."
    )
    return [settings, data]


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


def _cell(row: Any, most_seeds: int) -> str:
    deviation = "" if pd.isna(row.standard_deviation) else f" ± {row.standard_deviation:.2f}"
    fewer = f" ({plural(row.num_seeds, 'seed')})" if row.num_seeds < most_seeds else ""
    paper = "" if pd.isna(row.paper) else f" [{row.paper:.2f}]"
    return f"{row.mean:.2f}{deviation}{fewer}{paper}"
