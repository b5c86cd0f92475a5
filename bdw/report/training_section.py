"""How a run went, epoch by epoch: the curves that say something. A line that never moves is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bdw.report import curves
from bdw.report.figure import GREEN
from bdw.report.outcome import Outcome
from bdw.report.pace_table import pace_table
from bdw.report.page import Block, Picture, Section, Text, picture
from bdw.report.table_files import column


def training_sections(outcome: Outcome) -> list[Section]:
    """One section, or none where nothing changed from epoch to epoch."""
    blocks: list[Block] = [*_curves(outcome)]
    table = pace_table(outcome.run.metrics)
    if table is not None:
        blocks += [Text("How often weights were learnt changed from epoch to epoch:"), table]
    return [Section("Training, epoch by epoch", blocks)] if blocks else []


def _curves(outcome: Outcome) -> Iterator[Picture]:
    metrics, measure = outcome.run.metrics, outcome.run.measure
    epochs = column(metrics, "epoch").tolist()
    scores, loss, meta_loss = (column(metrics, name).tolist() for name in ("validation_score", "loss", "meta_loss"))
    kept = column(metrics, "kept_fraction").tolist()
    if _moves(scores):
        yield picture(
            curves.validation_curve(epochs, scores, measure, outcome.best),
            f"Validation {measure.label} by epoch",
            f"{measure.explanation}, on target images held out for choosing.",
        )
    # Fixed weights prune before the first epoch and never again, which the verdict says.
    if _moves(kept):
        yield picture(
            curves.kept_curve(epochs, kept),
            "Share of the source kept by epoch",
            "Share of the source that is still trained on after each epoch.",
        )
    if _moves(loss):
        yield picture(
            curves.curve(epochs, loss, "loss"),
            "Training loss by epoch",
            "Loss of the pretext task on the source, unweighted: it should fall as the encoder learns.",
        )
    if _moves(meta_loss):
        yield picture(
            curves.curve(epochs, meta_loss, "meta-loss", colour=GREEN),
            "Meta-loss by epoch",
            "Loss on batches of the target, after each step: what the weights are learnt to lower.",
        )
    if outcome.saved:
        spent, saved = (column(metrics, name).tolist() for name in ("weighting_seconds", "saved_seconds"))
        if _moves(saved):
            yield picture(
                curves.balance_curve(epochs, spent, saved),
                "Seconds spent on weighting and saved by pruning, by epoch",
                "Seconds of training steps since the start: what learning the weights took, and what plain training on "
                "the pruned images would have taken. Weighting has paid where the second line is above the first.",
            )


def _moves(values: Sequence[float]) -> bool:
    """Whether a curve of these values would be more than a point or a level line; NaN is what was not measured."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return len(known) > 1 and bool(np.ptp(known) > 0)
