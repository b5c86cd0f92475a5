"""Colourisation (Zhang, Isola and Efros, "Colorful image colorization", ECCV 2016): which colours did
a grey image have?"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.colourisation import ColourisationOptions
from bdw.encoders import Encoder
from bdw.pretext import ab_classes
from bdw.pretext.base import Crop, Encodes, Images, Outputs, PretextTask, Views
from bdw.pretext.decoder import map_shape, up_convolutions
from bdw.pretext.views.lab import lab_to_rgb, rgb_to_lab

REDUCTION = 4
"""Side of the image over that of the map of colours, as in the paper."""
_PIXELS_A_SIDE = 16
"""About so many rows and columns of an image are counted for the rebalancing."""
_RAREST = 0.01
"""Least share of a class at which the bias begins, in units of the uniform distribution's."""


class Colourisation(PretextTask):
    """One view per instance: the grey image of the same lightness, in three equal channels.

    The head draws, from the encoder's map, logits of the 261 `ab_classes` at a quarter of the resolution; Z are these.
    Loss of an instance: cross-entropy with the soft encoding of its colours, weighted by class rebalancing (eq. 2 to
    4), its mean over positions where the paper has the sum. How often colours occur is counted once, in all images that
    are kept when the first epoch begins; until then all classes weigh the same. The last layer's bias begins at the
    logarithms of that distribution, rebalanced, which the first steps would otherwise learn through the encoder (Lin et
    al., "Focal loss for dense object detection", ICCV 2017, section 3.3).
    """

    Options = ColourisationOptions
    num_views = 1

    def __init__(self, encoder: Encoder, options: ColourisationOptions | None = None):
        """`InputError` if the encoder has no map of positions."""
        super().__init__(encoder, options)
        shape, num_classes = map_shape(encoder), len(ab_classes.centres())
        self.side = max(-(-encoder.image_shape[-1] // REDUCTION), *shape[1:])
        self.decoder = up_convolutions(shape, num_classes, self.side)
        self.register_buffer("class_weights", torch.ones(num_classes))
        self.register_buffer("is_counted", torch.tensor(False))

    class_weights: Tensor
    """(Q,) of class rebalancing."""
    is_counted: Tensor
    """Whether these come from the source."""

    def check(self, images: Images) -> None:
        """Colours are needed."""
        ab_classes.require_colour("colourisation", images)

    def begin_epoch(self, encoder: Encoder, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Count the colours before the first epoch; every worker counts all images."""
        del encoder
        if bool(self.is_counted):
            return
        counts = torch.zeros(len(self.class_weights), dtype=torch.int64)
        for _, images in batches:
            apart = max(1, min(images.shape[-2:]) // _PIXELS_A_SIDE)
            lab = rgb_to_lab(images[:, :, ::apart, ::apart].float() / 255)
            counts += torch.bincount(ab_classes.nearest(lab[:, 1:]).flatten(), minlength=len(counts)).cpu()
        shares = ab_classes.smoothed(counts)
        weights = ab_classes.rebalancing(shares, self.options.uniform)
        self.class_weights.copy_(weights)
        last = self.decoder[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        with torch.no_grad():
            last.bias.copy_((shares * weights).clamp(min=_RAREST / len(shares)).log())
        self.is_counted.fill_(True)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Grey images (k, c, s, s), the five nearest classes of every position (k, 5, p) and their shares. Nothing is
        drawn but the crops."""
        del generator
        crops = crop(images)
        lab = rgb_to_lab(crops / 2 + 0.5)
        grey = lab_to_rgb(torch.cat([lab[:, :1], torch.zeros_like(lab[:, 1:])], dim=1)) * 2 - 1
        colours = functional.adaptive_avg_pool2d(lab[:, 1:], self.side).flatten(2)
        return Views(crops, (grey, *ab_classes.soft_encoding(colours)))

    def forward(self, encoder: Encodes, views: Views) -> Outputs:
        """Z: logits (k, Q, p) of the classes at every position. No hits."""
        grey, classes, shares = views.inputs
        maps = encoder.feature_map(grey)
        weighted = shares * self.class_weights[classes[:, :1]]
        found, seen = self.decoder(maps).flatten(2), maps.detach()
        return Outputs((found,), (classes, weighted), seen.mean(dim=(2, 3)), None, (seen,))

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) weighted cross-entropy, mean over an instance's positions."""
        (logits,), (classes, shares) = outputs.z, outputs.given
        of_nearest = functional.log_softmax(logits, dim=1).gather(1, classes)
        return -(of_nearest * shares).sum(dim=1).mean(dim=1)
