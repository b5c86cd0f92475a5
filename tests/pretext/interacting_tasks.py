"""Two tasks whose instances interact, for tests only: one with a teacher and a centre, one whose loss is no mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.simclr import SimCLROptions
from bdw.encoders import Encoder
from bdw.pretext import BatchLoss, Crop, Outputs, PretextTask, Views
from bdw.pretext.gather import gathered
from bdw.pretext.simclr import SimCLR
from bdw.pretext.teacher import Teacher, cosine_momentum

WIDTH, MOVES, OFF_DIAGONAL = 6, 0.1, 0.02


class Taught(SimCLR):
    """SimCLR that also wants its projections to be those of a teacher, around a moving centre."""

    centre: Tensor

    def __init__(self, encoder: Encoder, options: SimCLROptions | None = None):
        super().__init__(encoder, options)
        self.teacher = Teacher(encoder, self.projector)
        self.register_buffer("centre", torch.zeros(self.options.projection_dim))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        outputs = super().forward(encoder, views)
        return outputs._replace(given=(self.teacher(views.inputs[0]).unflatten(0, (-1, 2)),))

    def losses(self, outputs: Outputs) -> Tensor:
        (projections,), (taught,) = outputs.z, outputs.given
        aims = functional.normalize(taught - self.centre, dim=2).flip(1)
        return super().losses(outputs) + (projections - aims).square().sum(dim=2).mean(dim=1)

    def after_step(self, encoder: nn.Module, outputs: Outputs, progress: float) -> None:
        everyones, _ = gathered(outputs.given[0])
        self.centre.lerp_(everyones.mean(dim=(0, 1)).to(self.centre), MOVES)
        self.teacher.follow(encoder, self.projector, momentum=cosine_momentum(0.8, progress))


class RedundancyReduction(PretextTask):
    """Barlow Twins' loss (Zbontar et al., ICML 2021) of a cross-correlation matrix that is weighted by w, of the
    embeddings (k, 2, d) of two noisy views."""

    num_views = 2
    instances_interact = True
    loss_is_mean = False

    def __init__(self, encoder: Encoder, options: Any = None):
        super().__init__(encoder, options)
        self.projector = nn.Sequential(nn.Linear(encoder.feature_dim, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        crops = crop(images)
        noise = torch.randn(len(crops), 2, *crops.shape[1:], generator=generator, dtype=crops.dtype)
        return Views(crops, ((crops.unsqueeze(1) + 0.3 * noise).flatten(0, 1),))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        features = encoder(views.inputs[0])
        embeddings = self.projector(features).unflatten(0, (-1, 2))
        return Outputs((embeddings,), (), features.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        first, second = outputs.z[0].unbind(dim=1)
        return (first - second).square().sum(dim=1)

    def loss(self, outputs: Outputs, weights: Tensor, instances: int) -> BatchLoss:
        embeddings, _ = gathered(outputs.z[0])
        everyones_weights, _ = gathered(weights.to(embeddings))
        assert len(embeddings) == instances
        shares = (everyones_weights / everyones_weights.sum()).unsqueeze(1)
        centred = [view - (shares * view).sum(dim=0) for view in embeddings.unbind(dim=1)]
        first, second = (view / (shares * view.square()).sum(dim=0).sqrt() for view in centred)
        correlations = (shares * first).T @ second
        off_diagonal = correlations - torch.diag(correlations.diagonal())
        total = (correlations.diagonal() - 1).square().sum() + OFF_DIAGONAL * off_diagonal.square().sum()
        return BatchLoss(total, self.losses(outputs))
