"""A small net, its target and its weights, one step of which can be checked against the reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bdw.encoders import Encoder, untouched_statistics
from bdw.parallel.randomness import Randomness
from bdw.pretext import PretextModel, Views
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.gradient.estimators import choose
from bdw.weighting.gradient.forward_mode import reference_weight_gradient
from bdw.weighting.meta_loss import prototype_cross_entropy
from bdw.weighting.step import Learner, SourceBatch
from bdw.weighting.weighters.fixed import FixedWeights
from bdw.weighting.weighters.protocol import Learns, WeightSample
from tests.pretext.models import model_of, not_augmented, views_of

K, LEARNING_RATE = 5, 0.05


class Recorder(FixedWeights):
    """Hands out fixed weights and keeps the gradient that it is told."""

    learns = Learns.AFTER_UPDATE

    def __init__(self, weights: Tensor):
        super().__init__(weights.numpy())
        self.weights = weights
        self.gradient: Tensor | None = None

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        return WeightSample(indices, self.weights[indices])

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        self.gradient = gradient


class Prototypes:
    images_per_batch = 12

    def __init__(self, images: Tensor):
        self.images = images

    def draw(self, randomness: Randomness) -> tuple[Tensor, ...]:
        return (self.images,)

    def __call__(self, model: PretextModel, batch: tuple[Tensor, ...]) -> Tensor:
        features = model.encoder(batch[0]).unflatten(0, (3, 4))
        return prototype_cross_entropy(features[:, :2], features[:, 2:])


class Pretext(Prototypes):
    def __call__(self, model: PretextModel, batch: tuple[Tensor, ...]) -> Tensor:
        return model.losses(views_of(model, batch[0])).mean()


def learner_of(
    meta_loss: Prototypes | None,
    *,
    norm: Callable[[], nn.Module] = lambda: nn.BatchNorm2d(4),
) -> Learner:
    """A small net with norms, whose optimiser has taken two steps, so that its momentum buffers are filled."""
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3), norm(), nn.Tanh(),
        nn.Conv2d(4, 4, 3), norm(), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip
    model = model_of(Encoder(backbone, 1, 5, (1, 8, 8))).double().train()
    optimiser = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-2)
    for _ in range(2):
        optimiser.zero_grad()
        model.losses(views_of(model, torch.randn(3, 1, 6, 6).double())).mean().backward()
        optimiser.step()
    weighter = Recorder(torch.rand(K, dtype=torch.float64)) if meta_loss else FixedWeights(np.ones(K))
    alignment = Alignment(meta_loss, choose(model)) if meta_loss else None
    return Learner(model, model, optimiser, weighter, alignment, Randomness(0), not_augmented)


def with_fields(learner: Learner, **fields: Any) -> Learner:
    """The learner with another alignment; `wanted`, `tangent_views` and `parts` are for its estimator."""
    assert learner.alignment is not None
    chosen = {name: fields.pop(name) for name in ("wanted", "tangent_views", "parts") if name in fields}
    if chosen:
        fields["estimator"] = choose(learner.model, **chosen, generator=learner.randomness["tangent_views"])
    return dataclasses.replace(learner, alignment=dataclasses.replace(learner.alignment, **fields))


def buffers_of(learner: Learner) -> dict[str, Tensor]:
    """Copies of the optimiser's momentum buffers, by the parameters' names."""
    state = learner.optimiser.state
    return {name: state[each]["momentum_buffer"].clone() for name, each in learner.model.named_parameters()}


def reference_gradient(
    twin: PretextModel, meta_loss: Prototypes, batch: SourceBatch, weights: Tensor, buffers: dict[str, Tensor]
) -> Tensor:
    """dL_meta/dw (k,) by double backward, from a copy of the model as it was before the step."""
    views = views_of(twin, batch.images)

    class At:
        """The twin with other parameters, for the meta-loss."""

        task = twin.task

        def __init__(self, params: dict[str, Tensor]):
            encoder = {n.removeprefix("encoder."): v for n, v in params.items() if n.startswith("encoder.")}
            self.encoder = lambda images: functional_call(twin.encoder, encoder, (images,))
            self.params = params

        def losses(self, views: Views) -> Tensor:
            return twin.task.losses(functional_call(twin, self.params, (views,)))

    with untouched_statistics(twin):
        return reference_weight_gradient(
            lambda params: At(params).losses(views),
            lambda params: meta_loss(At(params), (meta_loss.images,)),  # type: ignore[arg-type]
            dict(twin.named_parameters()),
            weights,
            learning_rate=LEARNING_RATE,
            momentum=0.9,
            weight_decay=1e-2,
            momentum_buffers=buffers,
        )


def batch_of() -> SourceBatch:
    return SourceBatch(torch.randperm(K), torch.randn(K, 1, 6, 6, dtype=torch.float64), K)
