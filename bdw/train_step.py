"""One training step, in the order of the algorithm (DESIGN section 2, steps 1 to 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bdw import collectives
from bdw.encoders import untouched_statistics
from bdw.meta_gradient import instance_directional_derivatives, weight_gradient
from bdw.meta_loss import MetaLoss
from bdw.pretext import PretextModel, PretextOutput
from bdw.randomness import Randomness
from bdw.weighters import Weighter


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
    hits: Tensor
    """(m,) share of views solved."""
    meta_loss: Tensor | None
    """Scalar, of this worker's target batch; none where the weighter does not learn."""
    derivatives: Tensor | None
    """(m,) <v, grad L_i>; none where the weighter does not learn."""


@dataclass(frozen=True)
class Learner:
    """The live objects that a step changes."""

    model: PretextModel
    replicated: nn.Module
    """The model as the training pass calls it: itself, or wrapped in DistributedDataParallel."""
    optimiser: torch.optim.SGD
    weighter: Weighter
    meta_loss: MetaLoss | None
    """None where the weighter does not learn."""
    randomness: Randomness
    target_updates_statistics: bool = False


def train_step(learner: Learner, batch: SourceBatch) -> StepMeasurements:
    """Sample weights, update the model with the weighted loss, then the weights with the meta-gradient."""
    sample = learner.weighter.sample(batch.indices, learner.randomness["weights"])
    views = learner.model.task.views(batch.images, learner.randomness["views"])
    if learner.meta_loss is None:
        output = weighted_update(learner, views, sample.weights, batch.instances)
        return StepMeasurements(output.losses, output.hits, None, None)
    before = {name: value.detach().clone() for name, value in learner.model.named_parameters()}
    learning_rate = learner.optimiser.param_groups[0]["lr"]
    output = weighted_update(learner, views, sample.weights, batch.instances)
    direction, meta_loss = meta_direction(learner, learner.meta_loss)
    derivatives = view_derivatives(learner.model, views, before, direction)
    learner.weighter.update(sample, weight_gradient(derivatives, learning_rate, batch.instances).cpu())
    return StepMeasurements(output.losses, output.hits, meta_loss, derivatives)


def weighted_update(learner: Learner, views: tuple[Tensor, ...], weights: Tensor, instances: int) -> PretextOutput:
    """theta -> theta' by the gradient of (1/k) sum_i w_i L_i over all workers; returns losses and hits, detached."""
    learner.optimiser.zero_grad()
    output: PretextOutput = learner.replicated(views)
    weighted = (weights.detach().to(output.losses) * output.losses).sum()
    # DistributedDataParallel averages over the workers, the equation sums over them: hence the factor.
    (weighted / instances if collectives.size() == 1 else weighted * (collectives.size() / instances)).backward()
    learner.optimiser.step()
    return PretextOutput(output.losses.detach(), output.hits)


def meta_direction(learner: Learner, meta_loss: MetaLoss) -> tuple[dict[str, Tensor], Tensor]:
    """v = grad L_meta(theta'), averaged over the workers' target batches, and this worker's meta-loss.

    Parameters that the meta-loss does not depend on (the pretext head, under prototypes) are left out of v.
    """
    batch = meta_loss.draw(learner.randomness)
    parameters = dict(learner.model.named_parameters())
    if learner.target_updates_statistics:
        loss = meta_loss(learner.model, batch)
    else:
        with untouched_statistics(learner.model):
            loss = meta_loss(learner.model, batch)
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    direction = {name: g for name, g in zip(parameters, gradients, strict=True) if g is not None}
    collectives.mean_in_place(list(direction.values()))
    return direction, loss.detach()


def view_derivatives(
    model: PretextModel, views: tuple[Tensor, ...], before: dict[str, Tensor], direction: dict[str, Tensor]
) -> Tensor:
    """<v, grad L_i(theta)> (m,) at the parameters before the update, on the very views of the training pass."""
    with untouched_statistics(model):
        return instance_directional_derivatives(
            lambda params: functional_call(model, params, (views,)).losses, before, direction
        )
