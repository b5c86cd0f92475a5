"""One training step, in the order of the algorithm (docs/design.md, section 2).

Weighters differ in when they learn: never, after the model's update (BDW, DW: the update is the look-ahead), or before
it (L2RW: the look-ahead has weights 0, the update has those that follow from it).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bdw.encoders import synchronised
from bdw.parallel.randomness import Randomness
from bdw.pretext import BatchLoss, Crop, Outputs, PretextModel, Views
from bdw.storage.stateful import Stateful
from bdw.weighting.asked_target import AskedTarget
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.gradient.estimators import Derivatives
from bdw.weighting.gradient.parts import joined, parts_of
from bdw.weighting.gradient.target_gradient import Direction
from bdw.weighting.gradient.transforms import Visit
from bdw.weighting.gradient.update_derivative import Clipping, before_optimiser
from bdw.weighting.learning import LearningStep, descriptions_of
from bdw.weighting.meta_loss import Augment, MetaLoss
from bdw.weighting.target_columns import TargetColumn, together
from bdw.weighting.timer import WeightingTimer
from bdw.weighting.valuation import Valuation
from bdw.weighting.verdicts import Verdicts
from bdw.weighting.verdicts_by_task import VerdictsByTask
from bdw.weighting.weighters.protocol import Learns, TakesVerdicts, Weighter, WeightSample

if TYPE_CHECKING:
    from bdw.diagnostics.visit_statistics import VisitStatistics


class SourceBatch(NamedTuple):
    """This worker's part of a step."""

    indices: Tensor
    """(m,) global indices of the instances, on the CPU."""
    images: Tensor
    """(m, c, h, w) uint8 images as stored, on the training device."""
    instances: int
    """k: instances of the step over all workers."""
    progress: float = 0.0
    """Share of the run's budget that is used when the step ends."""


class StepMeasurements(NamedTuple):
    """What a step saw; tensors on the training device, without graph."""

    losses: Tensor
    """(m,) unweighted pretext losses."""
    hits: Tensor | None
    """(m,) share of views solved; none where the pretext task knows no right and wrong."""
    meta_loss: Tensor | None
    """Scalar, of this worker's target batch; none in a step without one."""
    derivatives: Tensor | None
    """(m,) <v, grad L_i>, or (m, tasks) or (m, targets); none in a step without learning."""


class Told(NamedTuple):
    """What a step learnt from."""

    meta_loss: Tensor | None
    derivatives: Tensor | None


@dataclass(frozen=True)
class Learner:
    """The live objects that a step changes."""

    model: PretextModel
    replicated: nn.Module
    """The model as the training pass calls it: itself, or wrapped in DistributedDataParallel."""
    optimiser: torch.optim.SGD | torch.optim.AdamW
    weighter: Weighter
    alignment: Alignment | None
    """What the weighter learns from; None where it never learns, or learns from several targets."""
    randomness: Randomness
    augment: Augment
    """Crops of source images."""
    clock: WeightingTimer = field(default_factory=WeightingTimer)
    """Times what a step does for the weights."""
    accumulate: int = 1
    """Parts of a worker's batch that pass through the model one after the other."""
    clipping: Clipping | None = None
    """Bounds the norm of the model's gradient; None where it may have any."""
    valuations: Sequence[Valuation] = ()
    """Of further targets; only where the weighter never learns."""
    targets: Sequence[TargetColumn] = ()
    """What the weighter learns from where there are several targets, in the order of its columns."""

    @functools.cached_property
    def parameters(self) -> dict[str, nn.Parameter]:
        """All that are trained, by name."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    @property
    def asked(self) -> Sequence[AskedTarget]:
        """The several targets that the weighter learns from, or those of the valuations; never both."""
        return self.targets or self.valuations

    @functools.cached_property
    def askers(self) -> list[Learner]:
        """For each of `asked` the learner that asks for it: its weighter is the valuation's, or keeps the answer."""
        weighters = [cast(Weighter, each.answers) for each in self.targets] or [v.weighter for v in self.valuations]
        # The run's clock times all of them together.
        return [
            dataclasses.replace(
                self, weighter=weighter, alignment=each.alignment, randomness=each.randomness, targets=(),
                valuations=(), clock=WeightingTimer(),
            )
            for each, weighter in zip(self.asked, weighters, strict=True)
        ]  # fmt: skip

    @property
    def meta_batch(self) -> int:
        """Target images of a step that asks, over all that is learnt for, on each worker; 0 where nothing is learnt."""
        alone = 0 if self.meta_loss is None else self.meta_loss.images_per_batch
        return alone + sum(each.target_images for each in self.asked)

    @property
    def crop(self) -> Crop:
        """Makes augmented crops of stored source images."""
        return lambda images: self.augment(images, self.randomness["augmentation"])

    @property
    def meta_loss(self) -> MetaLoss | None:
        """The alignment's."""
        return None if self.alignment is None else self.alignment.meta_loss

    @property
    def verdicts(self) -> Verdicts | VerdictsByTask | None:
        """The alignment's."""
        return None if self.alignment is None else self.alignment.verdicts

    def tell_verdicts(self, *, learns: bool) -> None:
        """Once an epoch: let the weighter learn what the verdicts say, column by column; or forget it."""
        alignments = [each for each in (self.alignment, *(column.alignment for column in self.targets)) if each]
        for column, alignment in enumerate(alignments):
            verdicts = alignment.verdicts
            if verdicts is None:
                continue
            assert isinstance(self.weighter, TakesVerdicts), "checked with the config"
            weighter = self.weighter if learns else None
            if isinstance(verdicts, VerdictsByTask):
                verdicts.tell(weighter)
            else:
                verdicts.tell(weighter, column)

    @property
    def visit_statistics(self) -> VisitStatistics | None:
        """The alignment's."""
        return None if self.alignment is None else self.alignment.visit_statistics

    def parts(self) -> dict[str, Stateful]:
        """All parts of the alignment that have a state, by name."""
        return {} if self.alignment is None else self.alignment.parts()

    def asking(self, meta_loss: MetaLoss | None) -> Learner:
        """The same with another meta-loss; itself where nothing is learnt."""
        if self.alignment is None or meta_loss is None:
            return self
        return dataclasses.replace(self, alignment=dataclasses.replace(self.alignment, meta_loss=meta_loss))


@synchronised()
def train_step(learner: Learner, batch: SourceBatch, *, learn: bool = True) -> StepMeasurements:
    """Update the model with the weighted loss and, unless it never learns, the weighter with the meta-gradient; where
    it never does, the valuations of further targets.

    Without `learn` the weights are used as they are, and no valuation learns: a step of plain training's cost.
    """
    task = learner.model.task
    views = task.views_of_source(batch.images, batch.indices, learner.crop, learner.randomness["views"])
    visit = Visit(batch.indices, views.images, batch.instances, kept=views.kept)
    alignment = learner.alignment if learn else None
    when = Learns.NEVER if alignment is None else learner.weighter.learns
    told = Told(None, None)
    if alignment is not None and when is Learns.BEFORE_UPDATE:
        sample = WeightSample(batch.indices, torch.zeros(len(batch.indices), dtype=torch.float64))
        with alignment.estimator.watch(views, sample.weights, batch.instances) as of_instances:
            pass  # The look-ahead is where the model stands.
        told = learn_weights(learner, alignment, of_instances, visit, sample, None)
    sample = learner.weighter.sample(batch.indices, learner.randomness["weights"])
    weights = sample.weights.detach()
    asked = learner.asked if learn else ()
    watched = alignment if when is Learns.AFTER_UPDATE else asked[0].alignment if asked else None
    if watched is None:
        outputs, loss = weighted_update(learner, views, weights, batch.instances)
    else:
        with watched.estimator.watch(views, weights, batch.instances) as of_instances:
            outputs, loss = weighted_update(learner, views, weights, batch.instances)
        visit = visit._replace(losses=loss.losses, features=outputs.features)
        if asked:
            told = learn_from_asked(learner, of_instances, visit, sample, outputs)
        else:
            if weights.dim() == 2:
                with torch.no_grad():
                    visit = visit._replace(losses=task.losses_by_task(outputs))
            told = learn_weights(learner, watched, of_instances, visit, sample, outputs)
    task.after_step(learner.model.encoder, outputs, batch.progress)
    if learner.clipping is not None:
        learner.clipping.forget()
    return StepMeasurements(loss.losses, outputs.hits, *told)


def weighted_update(learner: Learner, views: Views, weights: Tensor, instances: int) -> tuple[Outputs, BatchLoss]:
    """theta -> theta' by the gradient of L(Z, w) over all workers; returns both without graph."""
    learner.optimiser.zero_grad()
    parts = parts_of(views, weights, learner.accumulate)
    outputs, losses = [], []
    for number, (shown, theirs) in enumerate(parts, start=1):
        with _gradients_travel(learner.replicated, now=number == len(parts)):
            outputs.append(learner.replicated(shown))
            # k is that of the whole step, so that the parts' losses add up to L.
            losses.append(learner.model.task.loss(outputs[-1], theirs, instances))
            losses[-1].total.backward()
        outputs[-1] = outputs[-1]._replace(z=tuple(part.detach() for part in outputs[-1].z))
        losses[-1] = BatchLoss(losses[-1].total.detach(), losses[-1].losses.detach())
    if learner.clipping is not None:
        learner.clipping.clip(learner.parameters)
    learner.optimiser.step()
    learner.optimiser.zero_grad()  # here, so that the meta pass has their memory
    return joined(outputs, losses)


def _gradients_travel(model: nn.Module, *, now: bool) -> AbstractContextManager[None]:
    """Workers exchange gradients with the last part alone."""
    if now or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    held: AbstractContextManager[None] = model.no_sync()
    return held


def learn_weights(
    learner: Learner,
    alignment: Alignment,
    of_instances: Derivatives,
    visit: Visit,
    sample: WeightSample,
    outputs: Outputs | None,
) -> Told:
    """Learn from dL_meta/dw at that sample, given the estimator's answer `of_instances` and the outputs of the training
    pass (None before the update)."""
    learner.clock.start()
    direction, meta_loss = target_gradient(alignment, learner.randomness)
    direction = before_optimiser(
        direction, alignment.estimator.compared, learner.optimiser, learner.clipping, made_step=outputs is not None
    )
    if learner.clipping is not None:
        direction = {name: value for name, value in direction.items() if name in alignment.estimator.compared}
    derivatives = instance_derivatives(of_instances, direction, outputs)
    compared = alignment.transformed(derivatives, visit)
    step = LearningStep(
        learner.model,
        learner.weighter,
        learner.optimiser.param_groups[0]["lr"],
        learner.randomness,
        0 if meta_loss is None else alignment.meta_loss.images_per_batch,
        alignment.uses_source_statistics,
    )
    alignment.receiver(step, visit, sample, compared)
    learner.clock.stop()
    return Told(meta_loss, derivatives)


def learn_from_asked(
    learner: Learner, of_instances: Derivatives, visit: Visit, sample: WeightSample, outputs: Outputs
) -> Told:
    """Learn for every target that is asked, from dL_c/dw at that sample.

    Returns, of several targets, the mean meta-loss of those that drew a batch and the derivatives (m, targets); nothing
    of valuations, which have no say in training.
    """
    learner.clock.start()
    if not learner.targets:
        sample = WeightSample(sample.indices, sample.weights.detach())  # A valuation did not draw what is trained with.
    if learner.asked[0].alignment.verdicts is not None:
        visit = visit._replace(descriptions=descriptions_of(visit))
    told = [
        learn_weights(asker, each.alignment, of_instances, visit, sample, outputs)
        for asker, each in zip(learner.askers, learner.asked, strict=True)
    ]
    gradient = together([column.answers.take() for column in learner.targets])
    if gradient is not None:
        learner.weighter.update(sample, gradient)
    learner.clock.stop()
    if not learner.targets:
        return Told(None, None)
    losses = [each.meta_loss for each in told if each.meta_loss is not None]
    derivatives = [each.derivatives for each in told if each.derivatives is not None]
    return Told(torch.stack(losses).mean() if losses else None, torch.stack(derivatives, dim=1))


def target_gradient(alignment: Alignment, randomness: Randomness) -> tuple[Direction, Tensor | None]:
    """v, and the meta-loss where the step draws a target batch; see `Alignment.ask_target`."""
    return alignment.ask_target(randomness)


def instance_derivatives(of_instances: Derivatives, direction: Direction, outputs: Outputs | None) -> Tensor:
    """<v, grad L_i> (m,) or (m, tasks) as the estimator has them that watched the update."""
    return of_instances(direction, outputs)
