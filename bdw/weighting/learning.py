"""Who learns from the derivatives of a step: the weighter at every visit, or verdicts on all images once an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from bdw.encoders import source_statistics, untouched_statistics
from bdw.parallel.randomness import Randomness
from bdw.pretext import PretextModel
from bdw.weighting.appearance import appearance
from bdw.weighting.drawing import Drawing
from bdw.weighting.gradient.forward_mode import weight_gradient
from bdw.weighting.gradient.transforms import Visit
from bdw.weighting.meta_loss import TargetImages
from bdw.weighting.verdicts import Verdicts
from bdw.weighting.verdicts_by_task import VerdictsByTask
from bdw.weighting.weighters.protocol import Weighter, WeightSample


class LearningStep(NamedTuple):
    """What learning from a step may use of it."""

    model: PretextModel
    weighter: Weighter
    learning_rate: float
    """alpha, of the update that the step made."""
    randomness: Randomness
    target_images: int
    """Images of the target batch that the step drew; 0 if it drew none."""
    uses_source_statistics: bool
    """Whether target images are normalised by the running statistics of source batches."""


class Receiver(Protocol):
    """Takes in what a step says of its instances; every worker calls it."""

    def __call__(self, step: LearningStep, visit: Visit, sample: WeightSample, derivatives: Tensor) -> None:
        """Learn from derivatives (m,) at that sample."""


class LearnsByVisit:
    """The weighter learns from dL_meta/dw in every step."""

    def __call__(self, step: LearningStep, visit: Visit, sample: WeightSample, derivatives: Tensor) -> None:
        """The host waits for the device here."""
        step.weighter.update(sample, weight_gradient(derivatives, step.learning_rate, visit.instances).cpu())


@dataclass(frozen=True)
class LearnsByVerdict:
    """Verdicts remember the visits; what they say once an epoch is for the weighter."""

    verdicts: Verdicts | VerdictsByTask
    target: TargetImages
    """Where examples of what helps are drawn from."""

    def __call__(self, step: LearningStep, visit: Visit, sample: WeightSample, derivatives: Tensor) -> None:
        """Take the visits in and, where the target was asked, some of its images as examples of what helps and some
        others as the end of the scale."""
        del sample
        self.verdicts.learn(visit.indices, visit.descriptions or descriptions_of(visit), derivatives, visit.kept)
        if step.target_images == 0:
            return
        randomness, model = step.randomness, step.model
        halves = [self.target.draw(step.target_images, randomness, half=half) for half in (0, 1)]
        lengths, crop = [len(half) for half in halves], self.target.crop(randomness)

        def crop_by_halves(images: Tensor) -> Tensor:
            return torch.cat([crop(half) for half in images.split(lengths)])

        views = model.task.views(torch.cat(halves), crop_by_halves, randomness["target_views"])
        statistics = source_statistics if step.uses_source_statistics else untouched_statistics
        with torch.no_grad(), statistics(model):
            features = model(views).features
        shown = Visit(torch.arange(sum(lengths)), views.images, sum(lengths), features=features)
        told, measured = zip(*(part.split(lengths) for part in descriptions_of(shown)), strict=True)
        self.verdicts.learn_examples(told)
        self.verdicts.measure_examples(measured)


@dataclass(frozen=True)
class LearnsForDrawing:
    """A drawing remembers the visits; a regression on them says between epochs what images are worth."""

    drawing: Drawing

    def __call__(self, step: LearningStep, visit: Visit, sample: WeightSample, derivatives: Tensor) -> None:
        """Nothing but that."""
        del step, sample
        self.drawing.visited(visit.indices, derivatives)


def descriptions_of(visit: Visit) -> tuple[Tensor, Tensor]:
    """What images look like to the encoder, and by their colours and composition; (m, d) each."""
    return visit.mean_features(), appearance(visit.images)
