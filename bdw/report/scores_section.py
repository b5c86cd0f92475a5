"""The section on how well a run's scorer predicts the weights of images that it did not learn from."""

from __future__ import annotations

import math

from bdw.report.page import Block, Section, Table, Text
from bdw.report.planted import words
from bdw.report.run_files import RunFiles
from bdw.report.wording import percent, plural, ratio
from bdw.scoring.held_out import HeldOut
from bdw.scoring.scorer import held_out_of

NOMINAL = 0.95
ROUGH = 0.05
"""A coverage that is so far from the nominal one is said to be off."""


def scores_sections(run: RunFiles) -> list[Section]:
    """The section, or nothing where the run left no scorer."""
    path = run.directory / "scorer.safetensors"
    if not path.is_file():
        return []
    found = held_out_of(path)
    blocks: list[Block] = [
        Text(_about(found)),
        Text(_ranking(found, run)),
        Text(_intervals(found)),
        _calibration(found),
    ]
    return [Section("Scores for new images", blocks)]


def _about(found: HeldOut) -> str:
    return (
        f"The scorer predicts the weights of images that no run has seen (bdw score). It learnt from "
        f"{plural(found.learnt_from, 'image')} of the source. The figures are those of {plural(found.images, 'image')} "
        "of the source that it did not learn from."
    )


def _ranking(found: HeldOut, run: RunFiles) -> str:
    sentences = [f"Correlation of predicted and learnt mean weight: {ratio(found.correlation)}."]
    if math.isfinite(found.kept_auroc):
        sentences.append(f"AUROC of the prediction, kept against pruned images: {ratio(found.kept_auroc)}.")
    if math.isfinite(found.planted_auroc) and run.weights is not None:
        called = words(run.weights, str(run.config.get("target", "")))
        sentences.append(
            f"AUROC of the prediction, {called.useful} images against {called.others}: {ratio(found.planted_auroc)}; "
            f"that of the weights which the run learnt of the same images: {ratio(found.planted_auroc_of_run)}."
        )
    return " ".join(sentences)


def _intervals(found: HeldOut) -> str:
    text = f"{percent(found.coverage)} of the learnt mean weights lie in their 95 % interval."
    if abs(found.coverage - NOMINAL) > ROUGH:
        text += " The intervals are too " + ("narrow." if found.coverage < NOMINAL else "wide.")
    return text


def _calibration(found: HeldOut) -> Table:
    headings = ("images", "predicted mean weight", "learnt mean weight", "kept")
    rows = tuple(
        (f"{group.images:,}", ratio(group.predicted), ratio(group.learnt), percent(group.kept))
        for group in found.groups
    )
    caption = "Averages over fifths of these images, the lowest predictions first"
    return Table(headings, rows, caption, numeric=frozenset(headings))
