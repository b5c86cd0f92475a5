"""The sections of a run with several targets: scores of each, what the pool is worth for each, what divides them."""

from __future__ import annotations

import numpy as np

from bdw.report import contact_sheet
from bdw.report.heat_map import heat_map
from bdw.report.page import Block, Notice, Section, Sheet, Table, Text, picture
from bdw.report.run_files import RunFiles
from bdw.report.table_files import column
from bdw.report.usefulness_by_target import UsefulnessByTarget
from bdw.report.wording import UNKNOWN, percent, ratio

ALIKE = 0.8
"""Average correlation of two targets' tables from which they are said to hardly depend on the target: then two thirds
of what they say (the correlation's square) is the same."""
SCORE_OF = "validation_score of "
"""What the columns of metrics.csv begin with."""
SHOWN = 12
"""Images of each target's sheet."""


def alike(found: UsefulnessByTarget | None) -> list[Notice]:
    """A warning where the tables hardly depend on the target."""
    if found is None or (pairs := found.pairs()).empty or float(pairs.mean()) < ALIKE:
        return []
    one, other = pairs.index[-1]
    return [
        Notice(
            "What images are worth hardly depends on the target",
            f"The usefulness of two targets has a rank correlation of {ratio(float(pairs.mean()))} on average. Of the "
            f"most useful quarter of the pool for “{one}”, {percent(found.shared_quarter(one, other))} is that for "
            f"“{other}”, too. Either the targets want the same images, or the tables tell little but what makes an "
            "image easy: compare with a run of another seed before choosing images for one of them.",
        )
    ]


def targets_sections(run: RunFiles, found: UsefulnessByTarget | None) -> list[Section]:
    """Scores by target where the run was trained for several; usefulness by target where it left tables."""
    sections = []
    scores = _scores(run)
    if scores is not None:
        sections.append(Section("The targets", [scores]))
    if found is not None:
        sections.append(Section("Usefulness by target", _comparison(run, found)))
        sheets = _galleries(run, found)
        sections += [Section("The images by target", sheets, folded=len(sheets) > 6)] if sheets else []
    return sections


def _scores(run: RunFiles) -> Table | None:
    """Best epoch, validation and test score of every target, and the mean."""
    names = [str(name).removeprefix(SCORE_OF) for name in run.metrics.columns if str(name).startswith(SCORE_OF)]
    if not names:
        return None
    rows, values = [], []
    for name in names:
        scores = column(run.metrics, f"{SCORE_OF}{name}")
        if scores.isna().all():
            return None
        best = int((scores.argmax if run.measure.higher_is_better else scores.argmin)())
        tested = _tested(run, name)
        values.append((float(scores.iloc[best]), tested))
        epoch = str(int(run.metrics["epoch"].iloc[best]))
        rows.append((name, epoch, run.measure.shown(values[-1][0]), _shown(run, tested)))
    validation, test = (float(np.mean(part)) for part in zip(*values, strict=True))
    rows.append(("mean", "", run.measure.shown(validation), _shown(run, test)))
    headings = ("target", "best epoch", f"validation {run.measure.label}", f"test {run.measure.label}")
    caption = "Of the encoder of each target's own best epoch (encoder_for_TARGET.safetensors)"
    return Table(headings, tuple(rows), caption, numeric=frozenset(headings[1:]))


def _tested(run: RunFiles, target: str) -> float:
    if run.results is None:
        return float("nan")
    rows = run.results[(run.results["domain"] == target) & (run.results["metric"] == run.measure.name)]
    return float("nan") if rows.empty else float(rows["value"].iloc[0])


def _shown(run: RunFiles, value: float) -> str:
    return UNKNOWN if np.isnan(value) else run.measure.shown(value)


def _comparison(run: RunFiles, found: UsefulnessByTarget) -> list[Block]:
    blocks: list[Block] = [
        picture(
            heat_map(found.correlations(), middle=0.0, largest=1.0),
            "Rank correlations of the targets' usefulness tables",
            "How alike what images are worth is for two targets: Spearman's rank correlation of the mean weights. 1: "
            "the same order of images, 0: orders that know nothing of each other.",
        )
    ]
    domains = found.domains()
    if domains is not None:
        # From the pool's mean for the target, so that columns compare.
        above = domains - found.means.mean()
        largest = max(float(above.abs().to_numpy().max()), 1e-6)
        blocks.append(
            picture(
                heat_map(above, middle=0.0, largest=largest),
                "Usefulness of the source's domains by target",
                "Which part of the source helps which target: average mean weight of its images, minus that of the "
                "whole source for the same target.",
            )
        )
    pairs = found.pairs()
    if not pairs.empty:
        one, other = pairs.index[0]
        blocks.append(
            Text(
                f"The most different targets are “{one}” and “{other}”, with a correlation of "
                f"{ratio(float(pairs.iloc[0]))}; of the most useful quarter of the source they share "
                f"{percent(found.shared_quarter(one, other))}, where chance would give 25 %."
            )
        )
        for useful_for, useless_for in ((one, other), (other, one)):
            blocks += _sheet(run, f"Useful for {useful_for}, useless for {useless_for}", found, useful_for, useless_for)
    return blocks


def _sheet(run: RunFiles, title: str, found: UsefulnessByTarget, one: str, other: str) -> list[Sheet]:
    rows = found.dividing(one, other, SHOWN)
    if run.images is None or rows.empty:
        return []
    spread = contact_sheet.spread_of(found.tables[one])
    caption = f"By the difference of an image's ranks for the two; weights are those for {one}."
    return [Sheet(title, caption, contact_sheet.tiles(rows, run.images, spread=spread))]


def _galleries(run: RunFiles, found: UsefulnessByTarget) -> list[Block]:
    """For every target the images of the highest mean weights."""
    if run.images is None:
        return []
    blocks: list[Block] = []
    for target, table in found.tables.items():
        choice, spread = contact_sheet.most_useful(table), contact_sheet.spread_of(table)
        if spread > 0:
            tiles = contact_sheet.tiles(choice.rows.head(SHOWN), run.images, spread=spread)
            blocks.append(Sheet(f"Most useful for {target}", "The highest mean weights first.", tiles))
    return blocks
