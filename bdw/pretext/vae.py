"""Variational auto-encoding (Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014): what must a code hold
to draw the image again? The pretext task of the BDW paper's Table 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.auto_encoder import AutoEncoderOptions
from bdw.encoders import Encoder
from bdw.pretext.base import Crop, Outputs, PretextTask, Views


class VariationalAutoEncoder(PretextTask):
    """One view per instance: the image itself with the noise that its code is drawn with.

    Loss of an instance, in nats up to a constant: squared error summed over pixels (images in [-1, 1]) plus
    KL(N(mean, variance) || N(0, 1)). The head makes mean and log-variance from the features, and tanh pixels from the
    code; Z are these three.
    """

    Options = AutoEncoderOptions
    num_views = 1

    def __init__(self, encoder: Encoder, options: AutoEncoderOptions | None = None):
        super().__init__(encoder, options)
        latent_size, width = self.options.latent_size, self.options.decoder_width
        self.code = nn.Linear(encoder.feature_dim, 2 * latent_size)
        self.decoder = nn.Sequential(
            nn.Linear(latent_size, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, math.prod(encoder.image_shape)),
            nn.Tanh(),
        )

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Crops (k, c, s, s) and standard normal noise (k, latent_size)."""
        crops = crop(images)
        noise = torch.randn(len(crops), self.options.latent_size, generator=generator)
        return Views(crops, (crops, noise.to(crops)))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: pixels (k, c * s * s) in (-1, 1), means and log-variances (k, latent_size). No hits."""
        images, noise = views.inputs
        features = encoder(images)
        mean, log_variance = self.code(features).chunk(2, dim=1)
        deviation = log_variance.exp().sqrt()
        # The product with the noise as a batch of 1 x 1 matrices: forward mode goes through Python for products of a
        # tensor that has a tangent with one that has none, but not for these.
        code = mean + torch.bmm(deviation.reshape(-1, 1, 1), noise.reshape(-1, 1, 1)).view(mean.shape)
        return Outputs((self.decoder(code), mean, log_variance), (images.flatten(1),), features.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) squared error and divergence, in nats."""
        (drawn, mean, log_variance), (pixels,) = outputs.z, outputs.given
        errors = functional.mse_loss(drawn, pixels, reduction="none").sum(dim=1)
        # For forward mode's sake again: mse_loss, expm1 and a factor inside an addition.
        twice_divergence = mean.square() + torch.expm1(log_variance) - log_variance
        return torch.add(errors, twice_divergence.sum(dim=1), alpha=0.5)
