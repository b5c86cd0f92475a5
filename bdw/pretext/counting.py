"""Counting (Noroozi, Pirsiavash and Favaro, "Representation learning by learning to count", ICCV 2017): what is in the
four quarters of an image is together what is in the image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.counting import CountingOptions
from bdw.encoders import Encoder
from bdw.pretext.base import Crop, Outputs, PretextTask, Views
from bdw.pretext.gather import gathered
from bdw.pretext.projector import projector
from bdw.pretext.views.colour import to_grey
from bdw.pretext.views.patches import require_patches

PARTS = 5
"""The four quarters, and the image at half its size."""


class Counting(PretextTask):
    """Five views per instance: the quarters of its crop, row by row, and the crop at half its size.

    The head makes numbers from 0 on of every view; Z are these. Loss of an instance (eq. 4): the squared distance
    between the numbers of the small image and the sum of its quarters' numbers, and what the small images of other
    instances lack of the squared distance `margin` from that sum, averaged over all other instances of the step, where
    the paper draws one. They are those of all workers, whatever their weights. Images are halved by averaging 2 x 2
    pixels, where the paper draws one of several ways.

    Where the optimiser's steps are too large, all numbers become 0, no gradient brings them back, and the loss stands
    at `margin`.
    """

    Options = CountingOptions
    num_views = PARTS
    instances_interact = True

    def __init__(self, encoder: Encoder, options: CountingOptions | None = None):
        """`InputError` if the encoder cannot work on images of half the crop's side."""
        super().__init__(encoder, options)
        self.side = encoder.image_shape[-1] // 2
        require_patches(encoder, self.side, "crop_size", encoder.image_shape[-1])
        hidden = self.options.hidden_dim or encoder.feature_dim
        layers = projector((encoder.feature_dim, hidden, self.options.count_dim), batch_norm=False)
        self.counter = nn.Sequential(layers, nn.ReLU(inplace=True))

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Views (5k, c, s / 2, s / 2), an instance's quarters before its small image."""
        crops = crop(images)
        is_grey = torch.rand(len(crops), generator=generator) < self.options.grey
        whole = crops[..., : 2 * self.side, : 2 * self.side]
        whole = torch.where(is_grey[:, None, None, None].to(whole.device), to_grey(whole), whole)
        quarters = whole.unflatten(2, (2, self.side)).unflatten(4, (2, self.side))
        quarters = quarters.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
        small = functional.avg_pool2d(whole, 2)
        return Views(crops, (torch.cat([quarters, small.unsqueeze(1)], dim=1).flatten(0, 1),))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: counts (k, 5, n). No hits."""
        features = encoder(views.inputs[0])
        return Outputs((self.counter(features).unflatten(0, (-1, PARTS)),), (), features.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) equation 4, its second term averaged over all other instances."""
        return counting_losses(outputs.z[0], self.options.margin)


def counting_losses(counts: Tensor, margin: float) -> Tensor:
    """Losses (k,) of counts (k, 5, n), those of the small image last; Noroozi et al. 2017, eq. 4.

    Every worker calls it; the small images of all workers are compared with.
    """
    sums, small = counts[:, :-1].sum(dim=1), counts[:, -1]
    everyones, begins = gathered(small)
    own = torch.arange(begins, begins + len(sums), device=sums.device)
    lengths = sums.square().sum(dim=1)[:, None] + everyones.square().sum(dim=1)
    lacks = (margin - lengths + 2 * (sums @ everyones.T)).clamp(min=0)
    is_own = torch.arange(len(everyones), device=own.device) == own[:, None]
    others = lacks.masked_fill(is_own, 0).sum(dim=1) / max(1, len(everyones) - 1)
    return (small - sums).square().sum(dim=1) + others
