"""Measures of how good an encoder is for the target. One file and one line in `_measures` each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bdw.data.problem import LabelledImages, Target
from bdw.encoders import Encoder
from bdw.errors import InputError, unknown_option
from bdw.pretext import PretextModel

if TYPE_CHECKING:
    from bdw.evaluation.linear_probe import Settings

HeldOut = Literal["validation", "test"]


@dataclass(frozen=True)
class Subject:
    """What is measured."""

    encoder: Encoder
    model: PretextModel | None = None
    """The encoder with its pretext head; none for an encoder read from a file, which has left it behind."""


Evaluate = Callable[[Subject, Target, HeldOut, "Settings"], float]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number about an encoder and a target. The validation split chooses models, the test split reports them.

    On `validation` whatever needs fitting is fitted on train; on `test` on train and validation together.
    """

    name: str
    """As in config fields, metrics.csv and results tables."""
    label: str
    """As in reports."""
    explanation: str
    """For the caption of a curve, without a full stop."""
    higher_is_better: bool
    is_share: bool
    """Whether it lies between 0 and 1 and is shown in percent."""
    evaluate: Evaluate

    def shown(self, score: float) -> str:
        """A score as people read it: `81.2 %` or `195.42`; a dash for NaN."""
        if not math.isfinite(score):
            return "–"
        return f"{100 * score:.1f} %" if self.is_share else f"{score:,.2f}"

    def better(self, score: float, than: float) -> bool:
        """Whether a score beats another; nothing beats by being NaN, and everything else beats NaN."""
        if math.isnan(than):
            return not math.isnan(score)
        return score > than if self.higher_is_better else score < than


def _measures() -> dict[str, Measure]:
    return {
        measure.name: measure
        for measure in (
            Measure(
                name="accuracy",
                label="accuracy",
                explanation="Accuracy of a linear classifier on the encoder's features",
                higher_is_better=True,
                is_share=True,
                evaluate=_accuracy,
            ),
            Measure(
                name="pretext_loss",
                label="pretext loss",
                explanation="Loss of the pretext task, lower is better",
                higher_is_better=False,
                is_share=False,
                evaluate=_pretext_loss,
            ),
        )
    }


def available() -> tuple[str, ...]:
    """Names that the config fields `measure`, `monitors` and `final_measures` accept."""
    return tuple(sorted(_measures()))


def measure(name: str, field: str = "measure") -> Measure:
    """The measure of that name; `InputError` naming the config field otherwise."""
    measures = _measures()
    if name not in measures:
        raise unknown_option(field, name, measures)
    return measures[name]


def fitted_on(target: Target, split: HeldOut) -> LabelledImages:
    """The labelled images that a classifier for that split may learn from."""
    return target.train if split == "validation" else target.development


def measured_on(target: Target, split: HeldOut) -> LabelledImages:
    """The images of that split."""
    return target.validation if split == "validation" else target.test


def _accuracy(subject: Subject, target: Target, split: HeldOut, settings: Settings) -> float:
    from bdw.evaluation import linear_probe

    return linear_probe.evaluate(subject.encoder, fitted_on(target, split), measured_on(target, split), settings)


def _pretext_loss(subject: Subject, target: Target, split: HeldOut, settings: Settings) -> float:
    from bdw.evaluation import pretext_loss

    if subject.model is None:
        raise InputError("measure: 'pretext_loss' needs the pretext head, which an encoder file does not hold")
    return pretext_loss.evaluate(subject.model, measured_on(target, split).images, settings)
