"""One training step, in the order of the algorithm (docs/design.md, section 2).

Weighters differ in when they learn: never, after the model's update (BDW, DW: the update is the look-ahead), or before
it (L2RW: the look-ahead has weights 0, the update has those that follow from it).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bdw.encoders import constant, recomputed_stem, source_statistics, untouched_statistics
from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness
from bdw.pretext import PretextModel, PretextOutput
from bdw.weighting.composition import composition
from bdw.weighting.gradient.conv_cache import ConvCache
from bdw.weighting.gradient.forward_mode import instance_directional_derivatives, weight_gradient
from bdw.weighting.gradient.from_training_pass import SMALLEST_WEIGHT, LayerTangents, layers_of
from bdw.weighting.gradient.natural_gradient import NaturalDirection, flat, head_gradients
from bdw.weighting.gradient.smoothing import Smoothing, colours
from bdw.weighting.gradient.target_gradient import TargetGradient
from bdw.weighting.meta_loss import MetaLoss, TargetImages
from bdw.weighting.timer import WeightingTimer
from bdw.weighting.verdicts import Verdicts
from bdw.weighting.weighters.protocol import Learns, Weighter, WeightSample

if TYPE_CHECKING:
    from bdw.diagnostics.visit_statistics import VisitStatistics


class SourceBatch(NamedTuple):
    """This worker's part of a step."""

    indices: Tensor
    """(m,) global indices of the instances, on the CPU."""
    images: Tensor
    """(m, c, s, s) augmented float images on the training device."""
    instances: int
    """k: instances of the step over all workers."""


class StepMeasurements(NamedTuple):
    """What a step saw; tensors on the training device, without graph."""

    losses: Tensor
    """(m,) unweighted pretext losses."""
    hits: Tensor | None
    """(m,) share of views solved; none where the pretext task knows no right and wrong."""
    meta_loss: Tensor | None
    """Scalar, of this worker's target batch; none in a step without one."""
    derivatives: Tensor | None
    """(m,) <v, grad L_i>; none in a step without learning."""


@dataclass(frozen=True)
class Learner:
    """The live objects that a step changes."""

    model: PretextModel
    replicated: nn.Module
    """The model as the training pass calls it: itself, or wrapped in DistributedDataParallel."""
    optimiser: torch.optim.SGD
    weighter: Weighter
    meta_loss: MetaLoss | None
    """None where the weighter never learns."""
    randomness: Randomness
    uses_source_statistics: bool = False
    """Normalise target images by the running statistics of source batches."""
    direction: TargetGradient = field(default_factory=TargetGradient)
    """What instances' gradients are compared with."""
    head_alone: bool = False
    """Compare gradients of the pretext head's parameters alone."""
    natural: NaturalDirection | None = None
    """Compares them by direction, in the metric of their second moments."""
    relative_derivatives: bool = False
    """Derivatives of log-losses for the weights."""
    centred_derivatives: bool = False
    """Derivatives less their mean over the batch for the weights."""
    shared_derivatives: Smoothing | None = None
    """Derivatives as images that look alike have them for the weights."""
    verdicts: Verdicts | None = None
    """Told of every visit, and judges all images once an epoch, in the place of the weighter's update in each step."""
    target: TargetImages | None = None
    """Where examples for the verdicts are drawn from."""
    tangent_views: int | None = None
    """Views of every instance in the tangent pass; all of them where None."""
    evidence: VisitStatistics | None = None
    """Told what single visits say, where the run is to say how much of it is signal."""
    clock: WeightingTimer = field(default_factory=WeightingTimer)
    """Times what a step does for the weights."""

    @functools.cached_property
    def parameters(self) -> dict[str, Tensor]:
        """The model's parameters by name, collected once: walking through the modules costs a small model a tenth of
        its step."""
        return dict(self.model.named_parameters())

    @functools.cached_property
    def compared_parameters(self) -> dict[str, Tensor]:
        """Those of them whose gradients are compared with the target's."""
        return {name: value for name, value in self.parameters.items() if not self.head_alone or _is_head(name)}

    @functools.cached_property
    def has_statistics(self) -> bool:
        """Whether there are running statistics that target batches could move."""
        return any(True for _ in self.model.buffers())

    @functools.cached_property
    def layers(self) -> dict[str, nn.Module] | None:
        """What `LayerTangents` takes the tangents from; None where forward mode has to (batch norm, fewer views, a
        compiled training pass, which it cannot look into), or nothing, as gradients themselves are needed. The head
        alone sees whatever the encoder does, batch norm or not, as constants."""
        if self.natural is not None or not self.takes_all_views:
            return None
        if self.head_alone:
            return layers_of(self.model.head, _HEAD.removesuffix("."))
        return None if self.model.encoder.is_compiled else layers_of(self.model)

    @property
    def can_keep_outputs(self) -> bool:
        """Whether forward mode makes the training pass again, and that pass can be looked into."""
        return self.takes_all_views and not self.head_alone and not self.model.encoder.is_compiled

    @property
    def takes_all_views(self) -> bool:
        """Whether the tangent pass sees all views: as many as there are is no subset, and nothing is drawn for it. The
        head's tangents need no pass through the encoder once there was a training pass, and a subset saves nothing."""
        is_free = self.head_alone and self.weighter.learns is Learns.AFTER_UPDATE
        return is_free or self.tangent_views is None or self.tangent_views == self.model.task.num_views


def train_step(learner: Learner, batch: SourceBatch, *, learn: bool = True) -> StepMeasurements:
    """Update the model with the weighted loss and, unless it never learns, the weighter with the meta-gradient.

    Without `learn` the weights are used as they are: a step of plain training's cost.
    """
    views = learner.model.task.views(batch.images, learner.randomness["views"])
    when = learner.weighter.learns if learn else Learns.NEVER
    meta_loss = derivatives = None
    if when is Learns.BEFORE_UPDATE:
        learner.clock.start()
        theta = {name: value.detach() for name, value in learner.parameters.items()}
        direction, meta_loss = meta_direction(learner)
        derivatives = view_derivatives(learner.model, _tangent_views(learner, views), theta, direction)
        look_ahead = WeightSample(batch.indices, torch.zeros(len(batch.indices), dtype=torch.float64))
        update_weights(learner, batch, look_ahead, _compared(learner, batch, derivatives, None))
        learner.clock.stop()
    sample = learner.weighter.sample(batch.indices, learner.randomness["weights"])
    if when is Learns.AFTER_UPDATE:
        if learner.layers is not None and float(sample.weights.detach().min()) > SMALLEST_WEIGHT:
            with LayerTangents(learner.layers) as tangents:
                output = weighted_update(learner, views, sample.weights, batch.instances)
            learner.clock.start()
            direction, meta_loss = meta_direction(learner)
            factors = sample.weights.detach().to(output.losses) * (collectives.size() / batch.instances)
            derivatives = tangents.derivatives(direction, factors)
        else:
            wanted = learner.compared_parameters if learner.head_alone else learner.parameters
            theta = {name: value.detach().clone() for name, value in wanted.items()}
            kept = ConvCache() if learner.can_keep_outputs else None
            with kept or contextlib.nullcontext():
                output = weighted_update(learner, views, sample.weights, batch.instances)
            learner.clock.start()
            direction, meta_loss = meta_direction(learner)
            if learner.natural is not None:
                gradients = head_gradients(learner.model, output.features, views, _of_head(theta))
                derivatives = learner.natural.derivatives(gradients, flat(_of_head(direction)))
            elif learner.head_alone:
                derivatives = head_derivatives(learner.model, output.features, views, theta, direction)
            else:
                some = _tangent_views(learner, views)
                derivatives = view_derivatives(learner.model, some, theta, direction, kept or ())
        compared = _compared(learner, batch, derivatives, output)
        if learner.verdicts is None:
            update_weights(learner, batch, sample, compared)
        else:
            _remember(learner, learner.verdicts, batch, output, compared, asked=meta_loss is not None)
        learner.clock.stop()
    else:
        output = weighted_update(learner, views, sample.weights, batch.instances)
    return StepMeasurements(output.losses, output.hits, meta_loss, derivatives)


def weighted_update(learner: Learner, views: tuple[Tensor, ...], weights: Tensor, instances: int) -> PretextOutput:
    """theta -> theta' by the gradient of (1/k) sum_i w_i L_i over all workers; returns losses and hits, detached."""
    learner.optimiser.zero_grad()
    output: PretextOutput = learner.replicated(views)
    weighted = (weights.detach().to(output.losses) * output.losses).sum()
    # DistributedDataParallel averages over the workers, the equation sums over them: hence the factor.
    (weighted / instances if collectives.size() == 1 else weighted * (collectives.size() / instances)).backward()
    learner.optimiser.step()
    learner.optimiser.zero_grad()  # here, so that the meta pass has their memory
    return PretextOutput(output.losses.detach(), output.hits, output.features)


def meta_direction(learner: Learner) -> tuple[dict[str, Tensor], Tensor | None]:
    """v = grad L_meta at the parameters of this moment, averaged over the workers, and this worker's own meta-loss.

    With a momentum of `Learner.direction` a running mean of v over the steps that asked for it; in a step that does
    not ask, what the last one that did compared with, and no meta-loss. Parameters that the meta-loss does not depend
    on (the pretext head, under prototypes) are left out of v.
    """
    if not learner.direction.asks:
        return learner.direction.again(), None
    meta_loss = learner.meta_loss
    assert meta_loss is not None, "a weighter that learns needs a meta-loss"
    batch = meta_loss.draw(learner.randomness)
    parameters = learner.compared_parameters
    with contextlib.ExitStack() as stack:
        if learner.has_statistics and learner.uses_source_statistics:
            stack.enter_context(source_statistics(learner.model))
        elif learner.has_statistics:
            stack.enter_context(untouched_statistics(learner.model))
            stack.enter_context(recomputed_stem(learner.model))
        if learner.head_alone:
            stack.enter_context(constant(learner.model.encoder))
        loss = meta_loss(learner.model, batch)
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    direction = {name: g for name, g in zip(parameters, gradients, strict=True) if g is not None}
    collectives.mean_in_place(list(direction.values()))
    if learner.evidence is not None:
        learner.evidence.add_direction(direction)
    return learner.direction.follow(direction), loss.detach()


def view_derivatives(
    model: PretextModel,
    views: tuple[Tensor, ...],
    before: dict[str, Tensor],
    direction: dict[str, Tensor],
    kept: Iterable[Tensor | None] = (),
) -> Tensor:
    """<v, grad L_i(theta)> (m,) at the parameters before the update, on views of the training pass; `kept` of its
    convolutions need not be made again if these are all of its views."""
    with untouched_statistics(model):
        return instance_directional_derivatives(
            lambda params: functional_call(model, params, (views,)).losses, before, direction, kept
        )


def head_derivatives(
    model: PretextModel,
    features: Tensor,
    views: tuple[Tensor, ...],
    before: dict[str, Tensor],
    direction: dict[str, Tensor],
) -> Tensor:
    """The same (m,) for a direction in the head's parameters alone, from the training pass's features: nothing passes
    through the encoder again."""

    def losses(params: dict[str, Tensor]) -> Tensor:
        head = functools.partial(functional_call, model.head, _of_head(params))
        return model.task.solve(lambda _: features, lambda *inputs: head(inputs), views).losses

    return instance_directional_derivatives(losses, before, direction)


_HEAD = "head."
_KNOWN = "checked with the config: losses and features are known where weights learn after the update"


def _is_head(name: str) -> bool:
    return name.startswith(_HEAD)


def _of_head(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(_HEAD): value for name, value in parameters.items()}


def _tangent_views(learner: Learner, views: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    if learner.tangent_views is None or learner.takes_all_views:
        return views
    task, generator = learner.model.task, learner.randomness["tangent_views"]
    return task.some_views(views, learner.tangent_views, generator)


def _compared(learner: Learner, batch: SourceBatch, derivatives: Tensor, output: PretextOutput | None) -> Tensor:
    """The derivatives (m,) as the options want instances compared; as they are by default.

    `VisitStatistics` gets them before they are shared: predictions for one image are no independent visits, and agree
    with one another where there is no signal at all.
    """
    if learner.relative_derivatives:
        assert output is not None, _KNOWN
        derivatives = derivatives / output.losses.clamp(min=torch.finfo(output.losses.dtype).tiny)
    if learner.centred_derivatives:
        derivatives = derivatives - collectives.total(derivatives.sum()) / batch.instances
    if learner.evidence is not None:
        learner.evidence.add(batch.indices, derivatives, batch.instances)
    if learner.shared_derivatives is not None:
        assert output is not None, _KNOWN
        descriptions = _descriptions(output.features, batch.images)
        derivatives = learner.shared_derivatives.follow(descriptions, derivatives)
    return derivatives


def _descriptions(features: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """What images (m, c, s, s) look like: the mean features (m, d) of their views (m * views, d), and their colours."""
    return features.unflatten(0, (len(images), -1)).mean(dim=1), colours(images)


def _full_descriptions(features: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """The same, with how the images are composed beside their colours."""
    means, colour = _descriptions(features, images)
    return means, torch.cat([colour, composition(images)], dim=1)


def _remember(
    learner: Learner, verdicts: Verdicts, batch: SourceBatch, output: PretextOutput, derivatives: Tensor, *, asked: bool
) -> None:
    """Take the step's visits in and, where the target was asked, some of its images as examples of what helps and some
    others as the end of the scale."""
    verdicts.learn(batch.indices, _full_descriptions(output.features, batch.images), derivatives)
    if not asked:
        return
    assert learner.target is not None
    assert learner.meta_loss is not None
    statistics = source_statistics if learner.uses_source_statistics else untouched_statistics
    count = learner.meta_loss.images_per_batch
    halves = [learner.target.draw(count, learner.randomness, half=half) for half in (0, 1)]
    images = torch.cat(halves)
    views = learner.model.task.views(images, learner.randomness["target_views"])
    with torch.no_grad(), statistics(learner.model):
        features = learner.model(views).features
    described = [part.split([len(half) for half in halves]) for part in _full_descriptions(features, images)]
    told, measured = zip(*described, strict=True)
    verdicts.learn_examples(told)
    verdicts.measure_examples(measured)


def update_weights(learner: Learner, batch: SourceBatch, sample: WeightSample, derivatives: Tensor) -> None:
    """Let the weighter learn from dL_meta/dw at that sample. The host waits for the device here."""
    learning_rate = learner.optimiser.param_groups[0]["lr"]
    learner.weighter.update(sample, weight_gradient(derivatives, learning_rate, batch.instances).cpu())
