"""What the weights say: figures, planted junk, contact sheets. The run's page and the sweep's page both show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bdw.report import contact_sheet, weights_figures
from bdw.report.page import Block, Section, Sheet, Table, Text, picture
from bdw.report.planted import USEFUL, groups, separation, words
from bdw.report.run_files import RunFiles, has_distributions
from bdw.report.weights_figures import PruningRule
from bdw.report.wording import percent, plural, ratio, weight


def weights_sections(run: RunFiles) -> list[Section]:
    """Sections on the weights and on the images; empty if no weights were learnt."""
    return [*figure_sections(run), *image_sections(run)]


def image_sections(run: RunFiles) -> list[Section]:
    """The section with the contact sheets, or with the reason why there are none."""
    sheets = _sheets(run)
    return [Section("The images", sheets)] if sheets else []


def figure_sections(run: RunFiles) -> list[Section]:
    """Sections on the weights alone: their figures, and how they tell what was planted."""
    if run.weights is None:
        return []
    target = str(run.config.get("target", ""))
    blocks: list[Block] = [_histogram(run.weights, target)]
    if has_distributions(run.weights) and weights_figures.can_show_density(run.weights["a"], run.weights["b"]):
        blocks.append(_density(run.weights, target, _rule(run.config)))
    planted = planted_blocks(run.weights, target)
    sections = [Section("What the weights learnt", blocks)]
    return [*sections, Section(words(run.weights, target).section, planted)] if planted else sections


def planted_blocks(weights: pd.DataFrame, target: str) -> list[Block]:
    """The AUROC in words with its numbers of images, and a table of the kinds; empty if nothing was planted."""
    found = groups(weights, target)
    if not found:
        return []
    called = words(weights, target)
    blocks: list[Block] = []
    measured = separation(weights["mean"], weights["planted"])
    if measured is not None:
        blocks.append(
            Text(
                f"AUROC of the mean weight: {ratio(measured.auroc)} over {measured.num_useful:,} {called.useful} "
                f"images and {measured.num_junk:,} {called.others}. It is the chance that one of the former "
                "outweighs one of the latter, both drawn at random: 0.5 is guessing, 1 is perfect. The method never "
                "sees which is which."
            )
        )
    rows = tuple(
        (
            title,
            f"{len(rows):,}",
            weight(float(rows["mean"].mean()), contact_sheet.spread_of(weights)),
            percent(float(rows["kept"].mean())),
        )
        for title, rows in found.items()
    )
    headings = ("kind", "images", "average weight", "kept")
    blocks.append(Table(headings, rows, "By kind", numeric=frozenset(headings[1:])))
    return blocks


def _histogram(weights: pd.DataFrame, target: str) -> Block:
    found = groups(weights, target)
    learnt = has_distributions(weights)
    how = "Each image starts at the dotted line, 0.5; training moves images that help the target to the right."
    how = how if learnt else "Images further to the right count for more."
    if found:
        means = {title: rows["mean"] for title, rows in found.items()}
        figure = weights_figures.planted_histogram(means, mark_start=learnt)
        return picture(
            figure,
            f"Histogram of the mean weights of {plural(len(weights), 'image')}, by kind",
            f"How many images have which weight (paper, Figure 1a), by kind. {how}",
        )
    return picture(
        weights_figures.histogram(weights["mean"], mark_start=learnt),
        f"Histogram of the mean weights of {plural(len(weights), 'image')}",
        f"How many images have which weight (paper, Figure 1a). {how}",
    )


def _density(weights: pd.DataFrame, target: str, rule: PruningRule | None) -> Block:
    medians = {
        title: (float(np.median(rows["a"])), float(np.median(rows["b"])))
        for title, rows in groups(weights, target).items()
    }
    figure = weights_figures.density(weights["a"], weights["b"], rule=rule, medians=medians)
    caption = (
        "The two Beta parameters of every image (paper, Figure 1b): darker means more images. Grey lines join equal "
        "mean weights (the number on the line): useful images move to the lower right, useless ones to the upper left."
    )
    return picture(figure, f"Density of a and b of {plural(len(weights), 'image')} on logarithmic axes", caption)


def _rule(config: Mapping[str, Any]) -> PruningRule | None:
    names = ("cdf_threshold", "density_threshold")
    if not config.get("prune", False) or not all(isinstance(config.get(name), float) for name in names):
        return None
    return PruningRule(config["cdf_threshold"], config["density_threshold"])


def _sheets(run: RunFiles) -> list[Block]:
    if run.weights is None:
        return []
    if run.images is None:
        return [Text(note) for note in run.notes]
    least, pruned = contact_sheet.least_useful(run.weights), contact_sheet.pruned_first(run.weights)
    of_pruned = "of the pruned " if (least.rows["pruned_at_epoch"] > 0).all() else ""
    sheets: list[Block] = [
        _sheet(run, "Most useful", "The highest mean weights first.", contact_sheet.most_useful(run.weights)),
        _sheet(run, "Least useful", f"The lowest mean weights {of_pruned}first.", least),
    ]
    if not pruned.rows.empty:
        caption = "By the epoch after which they were thrown away, with their final mean weight."
        sheets.append(_sheet(run, "Pruned first", caption, pruned, show_epoch=True))
    return sheets


def _sheet(run: RunFiles, title: str, caption: str, choice: contact_sheet.Choice, *, show_epoch: bool = False) -> Sheet:
    assert run.images is not None
    assert run.weights is not None
    sentences = [caption, choice.ties, _sorts(run, choice.rows)]
    spread = contact_sheet.spread_of(run.weights)
    tiles = contact_sheet.tiles(choice.rows, run.images, show_epoch=show_epoch, spread=spread)
    return Sheet(title, " ".join(filter(None, sentences)), tiles)


def _sorts(run: RunFiles, rows: pd.DataFrame) -> str:
    """How many of the images shown are useful; empty unless it is known of all."""
    if "planted" not in rows.columns or (rows["planted"] < 0).any():
        return ""
    called = words(rows if run.weights is None else run.weights, str(run.config.get("target", "")))
    useful = int((rows["planted"] == USEFUL).sum())
    if useful in (0, len(rows)):
        return f"All {len(rows)} are {called.useful if useful else called.other}."
    return f"Of these {len(rows)}, {useful} are {called.useful} and {len(rows) - useful} {called.other}."
