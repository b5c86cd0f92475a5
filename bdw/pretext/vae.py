"""Variational auto-encoding (Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014): what must a code hold
to draw the image again? The pretext task of the BDW paper's Table 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.pretext.base import PretextOutput

LATENT_DIM = 1
"""One mean and one log-variance (the paper's appendix)."""
DECODER_WIDTH = 100


class VariationalAutoEncoder:
    """One view per instance: the image itself with the noise that its code is drawn with.

    Loss of an instance, in nats up to a constant: squared error summed over pixels (images in [-1, 1]) plus
    KL(N(mean, variance) || N(0, 1)).
    """

    num_views = 1

    def head(self, feature_dim: int, image_shape: tuple[int, int, int]) -> nn.Module:
        """Mean and log-variance from the features, and the decoder from the code to tanh pixels."""
        return _Head(feature_dim, image_shape)

    def views(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Images (k, c, s, s) and standard normal noise (k, 1)."""
        noise = torch.randn(len(images), LATENT_DIM, generator=generator)
        return images, noise.to(images)

    def some_views(self, views: tuple[Tensor, ...], count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """The only view."""
        del count, generator
        return views

    def solve(
        self, encoder: Callable[[Tensor], Tensor], head: Callable[..., Any], views: tuple[Tensor, ...]
    ) -> PretextOutput:
        """Losses (k,); no hits."""
        images, noise = views
        features = encoder(images)
        drawn = head(features, noise)
        errors = functional.mse_loss(drawn.pixels, images.flatten(1), reduction="none").sum(dim=1)
        # Forward mode goes through Python for sums and products of a tensor that has a tangent with one that has none,
        # which costs more than this small net: hence mse_loss, expm1 and a factor inside an addition.
        twice_divergence = drawn.mean.square() + torch.expm1(drawn.log_variance) - drawn.log_variance
        return PretextOutput(torch.add(errors, twice_divergence.sum(dim=1), alpha=0.5), None, features.detach())


class _Drawn(NamedTuple):
    pixels: Tensor
    """(k, c * s * s) in (-1, 1)."""
    mean: Tensor
    """(k, 1), as log_variance."""
    log_variance: Tensor


class _Head(nn.Module):
    def __init__(self, feature_dim: int, image_shape: tuple[int, int, int]):
        super().__init__()
        self.code = nn.Linear(feature_dim, 2 * LATENT_DIM)
        self.decoder = nn.Sequential(
            nn.Linear(LATENT_DIM, DECODER_WIDTH),
            nn.ReLU(inplace=True),
            nn.Linear(DECODER_WIDTH, math.prod(image_shape)),
            nn.Tanh(),
        )

    def forward(self, features: Tensor, noise: Tensor) -> _Drawn:
        mean, log_variance = self.code(features).chunk(2, dim=1)
        deviation = log_variance.exp().sqrt()
        # The product with the noise as a batch of 1 x 1 matrices: forward mode is quick at these too.
        code = mean + torch.bmm(deviation.view(-1, 1, 1), noise.view(-1, 1, 1)).view_as(mean)
        return _Drawn(self.decoder(code), mean, log_variance)
