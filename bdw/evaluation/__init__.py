"""Measures of how good an encoder is for the target. One file and one line in `_measures` each, or an entry point."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bdw import plugins
from bdw.data.labelled_images import LabelledImages, Target
from bdw.data.source_and_targets import LabelledProgress
from bdw.errors import unknown_option

if TYPE_CHECKING:  # Names are known without torch, so that an unknown one is refused at once.
    from bdw.encoders import Encoder
    from bdw.evaluation.features import Settings
    from bdw.evaluation.semi_supervised import UnlabelledImages
    from bdw.pretext import PretextModel


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What is measured, and on what."""

    encoder: Encoder
    model: PretextModel | None = None
    """The encoder with its pretext head; None for an encoder read from a file, which does not hold the head."""
    target: Target
    split: Literal["validation", "test"]
    settings: Settings
    unlabelled: UnlabelledImages | None = None
    """The kept images of a run; None where they are not at hand."""
    progress: LabelledProgress | None = None
    """Told by measures that take long."""

    @property
    def fitted_on(self) -> LabelledImages:
        """What a classifier may learn from: train, and for the test split validation too."""
        return self.target.train if self.split == "validation" else self.target.development

    @property
    def measured_on(self) -> LabelledImages:
        """The images of the split."""
        return self.target.validation if self.split == "validation" else self.target.test


Evaluate = Callable[[Examination], float]
_PLUG_INS: plugins.Group = "bdw.measures"


def _needs_nothing(settings: Settings, num_labelled: int) -> None:
    """The check of a measure that works with every target."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number about an encoder and a target. The validation split chooses models, the test split reports them.

    A measure that fits something (a classifier, say) fits it on train for the validation split, and on train and
    validation together for the test split.
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
    needs_head: bool = False
    """Whether it needs the pretext head, which an encoder file does not hold."""
    needs_kept: bool = False
    """Whether it needs the kept images, so that it is a final measure alone."""
    check: Callable[[Settings, int], None] = _needs_nothing
    """`InputError` if the settings cannot work with that number of training images of the target."""

    @property
    def factor(self) -> float:
        """The factor that makes a score readable: 100 for percent, otherwise 1."""
        return 100.0 if self.is_share else 1.0

    @property
    def decimals(self) -> int:
        """Digits behind the point of a score that was multiplied with `factor`."""
        return 1 if self.is_share else 2

    @property
    def heading(self) -> str:
        """The label with the unit of such scores, for a column or an axis: `accuracy (%)`."""
        return f"{self.label} (%)" if self.is_share else self.label

    def shown(self, score: float) -> str:
        """A score as people read it: `81.2 %` or `195.42`; a dash for NaN."""
        if not math.isfinite(score):
            return "–"
        return f"{self.factor * score:,.{self.decimals}f}{' %' if self.is_share else ''}"

    def better(self, score: float, than: float) -> bool:
        """Whether a score is better than another. A score of NaN is never the better one; any number is better than
        NaN."""
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
                name="knn_accuracy",
                label="nearest-neighbour accuracy",
                explanation="Accuracy of a vote of the nearest neighbours in feature space",
                higher_is_better=True,
                is_share=True,
                evaluate=_knn_accuracy,
                check=_enough_neighbours,
            ),
            Measure(
                name="fine_tuned_accuracy",
                label="fine-tuned accuracy",
                explanation="Accuracy after the whole encoder was fine-tuned",
                higher_is_better=True,
                is_share=True,
                evaluate=_fine_tuned_accuracy,
            ),
            Measure(
                name="semi_supervised_accuracy",
                label="semi-supervised accuracy",
                explanation="Accuracy after fine-tuning with the kept images as unlabelled data",
                higher_is_better=True,
                is_share=True,
                evaluate=_semi_supervised_accuracy,
                needs_kept=True,
            ),
            Measure(
                name="rankme",
                label="RankMe",
                explanation="How many directions the features use",
                higher_is_better=True,
                is_share=False,
                evaluate=_rankme,
            ),
            Measure(
                name="alignment",
                label="alignment",
                explanation="Squared distance of two crops of an image on the unit sphere, lower is better",
                higher_is_better=False,
                is_share=False,
                evaluate=_alignment,
            ),
            Measure(
                name="uniformity",
                label="uniformity",
                explanation="Log of the mean potential between images on the unit sphere, lower is better",
                higher_is_better=False,
                is_share=False,
                evaluate=_uniformity,
            ),
            Measure(
                name="pretext_loss",
                label="pretext loss",
                explanation="Loss of the pretext task, lower is better",
                higher_is_better=False,
                is_share=False,
                evaluate=_pretext_loss,
                needs_head=True,
            ),
        )
    }


def available() -> tuple[str, ...]:
    """Names that the config fields `measure`, `monitors` and `final_measures` accept, those of plug-ins included."""
    return tuple(sorted({*_measures(), *plugins.names(_PLUG_INS)}))


def measure(name: str, field: str = "measure") -> Measure:
    """The measure of that name; `InputError` naming the config field otherwise."""
    measures = _measures()
    if name in measures:
        return measures[name]
    if name not in plugins.names(_PLUG_INS):
        raise unknown_option(field, name, available())
    found = plugins.load(_PLUG_INS, name, field)
    if not isinstance(found, Measure) or found.name != name:
        raise plugins.refused(_PLUG_INS, name, field, f"a bdw.evaluation.Measure of the name {name!r}")
    return found


def _accuracy(of: Examination) -> float:
    from bdw.evaluation import linear_probe

    return linear_probe.evaluate(of.encoder, of.fitted_on, of.measured_on, of.settings)


def _enough_neighbours(settings: Settings, num_labelled: int) -> None:
    from bdw.evaluation import nearest_neighbours

    nearest_neighbours.check(settings.neighbours, num_labelled)


def _knn_accuracy(of: Examination) -> float:
    from bdw.evaluation import nearest_neighbours

    return nearest_neighbours.evaluate(of.encoder, of.fitted_on, of.measured_on, of.settings)


def _fine_tuned_accuracy(of: Examination) -> float:
    from bdw.evaluation import fine_tuning

    tell = None if of.progress is None else functools.partial(of.progress, "fine-tuning, epochs")
    train, validation = of.target.train, of.target.validation
    if of.split == "validation":
        return fine_tuning.choose(of.encoder, train, validation, of.settings, tell).validation_accuracy
    return fine_tuning.evaluate(of.encoder, train, validation, of.target.test, of.settings, tell)[0]


def _semi_supervised_accuracy(of: Examination) -> float:
    from bdw.evaluation import semi_supervised

    assert of.unlabelled is not None, "needs_kept says so"
    tell = None if of.progress is None else functools.partial(of.progress, "semi-supervised fine-tuning, steps")
    return semi_supervised.evaluate(of.encoder, of.fitted_on, of.unlabelled, of.measured_on, of.settings, tell)


def _rankme(of: Examination) -> float:
    from bdw.evaluation import rankme

    return rankme.evaluate(of.encoder, of.measured_on, of.settings)


def _alignment(of: Examination) -> float:
    from bdw.evaluation import alignment_uniformity

    return alignment_uniformity.evaluate_alignment(of.encoder, of.measured_on, of.settings)


def _uniformity(of: Examination) -> float:
    from bdw.evaluation import alignment_uniformity

    return alignment_uniformity.evaluate_uniformity(of.encoder, of.measured_on, of.settings)


def _pretext_loss(of: Examination) -> float:
    from bdw.evaluation import pretext_loss

    assert of.model is not None, "needs_head says so"
    return pretext_loss.evaluate(of.model, of.measured_on.images, of.settings)
