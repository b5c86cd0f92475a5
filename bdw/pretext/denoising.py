"""Denoising auto-encoding (Vincent, Larochelle, Bengio and Manzagol, "Extracting and composing robust features with
denoising autoencoders", ICML 2008): what was the image before some of its pixels were blackened?"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.denoising import DenoisingOptions
from bdw.encoders import Encoder
from bdw.pretext.base import Crop, Outputs, PretextTask, Views


class DenoisingAutoEncoder(PretextTask):
    """One view per instance: the image with a fixed number of pixels blackened (section 2.3), each image its own.

    The head is the paper's decoder, a linear layer and a sigmoid; Z are the logits. Loss of an instance, in nats:
    cross-entropy of its values in [0, 1], their sum (eq. 2). A pixel loses all its channels, since one tells of the
    others; the paper's images are grey.
    """

    Options = DenoisingOptions
    num_views = 1

    def __init__(self, encoder: Encoder, options: DenoisingOptions | None = None):
        super().__init__(encoder, options)
        self.decoder = nn.Linear(encoder.feature_dim, math.prod(encoder.image_shape))

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Corrupted and whole crops, (k, c, s, s) each."""
        crops = crop(images)
        pixels = crops.shape[-2] * crops.shape[-1]
        ranks = torch.rand(len(crops), pixels, generator=generator).argsort(dim=1)
        blackened = torch.zeros(len(crops), pixels, dtype=torch.bool)
        blackened.scatter_(1, ranks[:, : max(1, round(self.options.corruption * pixels))], value=True)
        mask = blackened.to(crops.device, non_blocking=True).view(-1, 1, *crops.shape[-2:])
        return Views(crops, (crops.masked_fill(mask, -1), crops))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: logits (k, c * s * s) of the whole image's values. No hits."""
        corrupted, crops = views.inputs
        features = encoder(corrupted)
        return Outputs((self.decoder(features),), (crops.flatten(1),), features.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) mean cross-entropy of an image's values, in nats."""
        (logits,), (pixels,) = outputs.z, outputs.given
        values = (pixels + 1) / 2
        return functional.binary_cross_entropy_with_logits(logits, values, reduction="none").sum(dim=1)
