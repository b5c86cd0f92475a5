"""Split-brain auto-encoder (Zhang, Isola and Efros, "Split-brain autoencoders: unsupervised learning by cross-channel
prediction", CVPR 2017): which colours go with this lightness, and which lightness with these colours?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bdw.config.pretext_options.split_brain import SplitBrainOptions
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.pretext import ab_classes
from bdw.pretext.base import Crop, Encodes, Images, Outputs, PretextTask, Views
from bdw.pretext.colourisation import REDUCTION
from bdw.pretext.decoder import map_shape, up_convolutions
from bdw.pretext.views.lab import lab_to_rgb, rgb_to_lab

MIDDLE = 50.0
"""Lightness of the view that has colours alone."""


class SplitBrain(PretextTask):
    """Two views per instance: the grey image of the same lightness, and the same colours (a, b) at lightness 50.

    From the grey view, the first half of the channels of the encoder's map draws the classes of colour; from the
    coloured view, the second half draws the classes of lightness. Z are the logits at a quarter of the resolution. Loss
    of an instance: cross-entropy (eq. 3), mean over positions and over the two predictions (eq. 4). The paper's two
    halves are separate nets. Here the encoder is one of any architecture, and they have its layers in common; colours
    at lightness 50 that sRGB does not have are clamped.
    """

    Options = SplitBrainOptions
    num_views = 2

    def __init__(self, encoder: Encoder, options: SplitBrainOptions | None = None):
        """`InputError` if the encoder has no map of positions, or a map of one channel."""
        super().__init__(encoder, options)
        channels, height, width = map_shape(encoder)
        self.split = channels // 2
        if self.split == 0:
            raise InputError(
                f"encoder: {type(encoder.backbone).__name__} has a map of one channel, which has no halves; allowed: "
                "at least 2 channels"
            )
        self.side = max(-(-encoder.image_shape[-1] // REDUCTION), height, width)
        num_classes = len(ab_classes.centres())
        self.colours = up_convolutions((self.split, height, width), num_classes, self.side)
        self.lightness = up_convolutions(
            (channels - self.split, height, width), self.options.lightness_classes, self.side
        )

    def check(self, images: Images) -> None:
        """Colours are needed."""
        ab_classes.require_colour("split_brain", images)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Views (2k, c, s, s), rows 2i and 2i + 1 being instance i's grey and coloured one, and the classes of colour
        and of lightness at every position (k, p). Nothing is drawn but the crops."""
        del generator
        crops = crop(images)
        lab = rgb_to_lab(crops / 2 + 0.5)
        lightness, ab = lab[:, :1], lab[:, 1:]
        grey = torch.cat([lightness, torch.zeros_like(ab)], dim=1)
        coloured = torch.cat([torch.full_like(lightness, MIDDLE), ab], dim=1)
        shown = lab_to_rgb(torch.stack([grey, coloured], dim=1).flatten(0, 1)) * 2 - 1
        reduced = functional.adaptive_avg_pool2d(lab, self.side)
        number = self.options.lightness_classes
        levels = (reduced[:, 0] * (number / 100)).long().clamp(0, number - 1)
        return Views(crops, (shown, ab_classes.nearest(reduced[:, 1:]).flatten(1), levels.flatten(1)))

    def forward(self, encoder: Encodes, views: Views) -> Outputs:
        """Z: logits (k, Q, p) of colours and (k, n, p) of lightness. No hits."""
        shown, colours, levels = views.inputs
        maps = encoder.feature_map(shown)
        of_grey, of_coloured = maps.unflatten(0, (-1, 2)).unbind(dim=1)
        z = self.colours(of_grey[:, : self.split]).flatten(2), self.lightness(of_coloured[:, self.split :]).flatten(2)
        return Outputs(z, (colours, levels), maps.detach().mean(dim=(2, 3)), None, (maps.detach(),))

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) mean of the two cross-entropies, mean over an instance's positions."""
        entropies = [
            functional.cross_entropy(logits, classes, reduction="none").mean(dim=1)
            for logits, classes in zip(outputs.z, outputs.given, strict=True)
        ]
        return (entropies[0] + entropies[1]) / 2
