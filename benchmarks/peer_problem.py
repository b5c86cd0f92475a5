"""The step that `benchmarks.peers` has every library differentiate: one start, in the form that each of them needs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from bdw.parallel.randomness import Randomness
from bdw.pretext import PretextModel, Views
from bdw.weighting.meta_loss import MetaLoss, TargetBatch
from bdw.weighting.step import Learner, SourceBatch, weighted_update
from bdw.weighting.weighters.fixed import FixedWeights
from bdw.weighting.weighters.protocol import Learns, WeightSample
from benchmarks.step import SETTINGS, prepare_learner, source_batch

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4
"""The paper's values; the last two are also those of `prepare_learner`."""


class Losses(nn.Module):
    """The model as a module of two losses, for libraries that replace a module's parameters."""

    def __init__(self, model: PretextModel, meta_loss: MetaLoss, target: TargetBatch):
        super().__init__()
        self.model = model
        self._meta_loss, self._target = meta_loss, target

    def forward(self, views: Views | None) -> Tensor:
        """The instances' losses (k,) on their views, or without views the target's loss, a scalar."""
        if views is None:
            return self._meta_loss(self.model, self._target)
        return self.model.losses(views)


class Given(FixedWeights):
    """Hands out the weights that it is given and keeps the gradient that it is told."""

    learns = Learns.AFTER_UPDATE

    def __init__(self, weights: Tensor):
        super().__init__(weights.cpu().numpy())
        self._weights = weights.cpu()
        self.gradient: Tensor | None = None

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """The given weights."""
        return WeightSample(indices, self._weights[indices])

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """Keep dL_meta/dw."""
        self.gradient = gradient


class FixedTarget:
    """A meta-loss that draws the same target batch in every step."""

    def __init__(self, meta_loss: MetaLoss, batch: TargetBatch):
        self._meta_loss, self._batch = meta_loss, batch
        self.images_per_batch = meta_loss.images_per_batch

    def draw(self, randomness: Randomness) -> TargetBatch:
        """The given batch."""
        return self._batch

    def __call__(self, model: PretextModel, batch: TargetBatch) -> Tensor:
        """The meta-loss on it."""
        return self._meta_loss(model, batch)


@dataclass(frozen=True)
class Problem:
    """Where all start: a learner that has made one step, so that its momentum buffers are filled."""

    learner: Learner
    batch: SourceBatch
    views: Views
    weights: Tensor
    losses: Losses

    def weighted(self, losses: Tensor, weights: Tensor) -> Tensor:
        """The loss of the step."""
        return (weights * losses).sum() / self.batch.instances

    def momentum_buffers(self) -> list[Tensor]:
        """In the order of the parameters."""
        state = self.learner.optimiser.state
        return [state[parameter]["momentum_buffer"] for parameter in self.learner.model.parameters()]

    def leaf_weights(self) -> Tensor:
        """The weights as what is differentiated with respect to."""
        return self.weights.clone().requires_grad_()


def problem(setting_name: str, meta_loss: str, seed: int, dtype: torch.dtype = torch.float32) -> Problem:
    """The start on random images; normalisation is by the batch's own statistics, and no running ones are kept."""
    torch.manual_seed(seed)
    setting = SETTINGS[setting_name]
    setting = type(setting)(**{**vars(setting), "meta_loss": meta_loss})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    learner = prepare_learner(setting, learns=True, device=device)
    learner.optimiser.param_groups[0]["lr"] = LEARNING_RATE
    batch = source_batch(setting, device)
    batch = batch._replace(images=batch.images.to(dtype))
    model = learner.model.to(dtype)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._NormBase):
            module.track_running_stats = False
    assert learner.meta_loss is not None
    target = tree_map(
        lambda t: t.to(dtype) if isinstance(t, Tensor) and t.is_floating_point() else t,
        learner.meta_loss.draw(learner.randomness),
    )
    views = model.task.views(batch.images, learner.crop, learner.randomness["views"])
    weights = torch.rand(setting.batch, device=device).to(dtype)
    weighted_update(learner, views, weights, batch.instances)
    return Problem(learner, batch, views, weights, Losses(model, learner.meta_loss, target))
