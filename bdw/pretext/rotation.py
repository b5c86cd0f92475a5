"""Rotation prediction (Gidaris, Singh and Komodakis, "Unsupervised representation learning by predicting image
rotations", ICLR 2018): which of four right angles was the image turned by?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.encoders import Encoder
from bdw.pretext.base import Crop, Outputs, PretextTask, Views

ANGLES = 4


class Rotation(PretextTask):
    """Four views per instance, turned by 0, 90, 180 and 270 degrees; cross-entropy averaged over the views.

    The head is a linear layer to four logits; Z are these.
    """

    num_views = ANGLES
    views_are_separate = True

    def __init__(self, encoder: Encoder, options: Any = None):
        super().__init__(encoder, options)
        self.head = nn.Linear(encoder.feature_dim, ANGLES)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Turned crops (4k, c, s, s), rows 4i to 4i + 3 being instance i's, and their angles (k, 4) in right angles.

        Nothing is drawn but the crops.
        """
        del generator
        crops = crop(images)
        angles = torch.arange(ANGLES, device=crops.device).expand(len(crops), ANGLES)
        return Views(crops, (_turned(crops).flatten(0, 1), angles))

    def some_views(self, views: Views, count: int, generator: torch.Generator) -> Views:
        """Turned crops (count * k, c, s, s) and angles (k, count)."""
        images, angles = views.inputs
        drawn = torch.rand(angles.shape, generator=generator).argsort(dim=1)[:, :count].sort(dim=1).values
        drawn = drawn.to(angles.device)
        rows = torch.arange(len(angles), device=angles.device).unsqueeze(1) * angles.shape[1] + drawn
        return Views(views.images, (images[rows.flatten()], angles.gather(1, drawn)))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: logits (4k, 4). Hits (k,): share of angles recognised."""
        images, angles = views.inputs
        features = encoder(images)
        logits = self.head(features)
        hits = (logits.detach().argmax(dim=1).view(angles.shape) == angles).to(logits.dtype).mean(dim=1)
        return Outputs((logits,), (angles,), features.detach(), hits)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) mean cross-entropy of an instance's views."""
        (logits,), (angles,) = outputs.z, outputs.given
        return functional.cross_entropy(logits, angles.flatten(), reduction="none").view(angles.shape).mean(dim=1)


def _turned(images: Tensor) -> Tensor:
    """Images (k, c, s, s) by all angles, (k, 4, c, s, s)."""
    if images.device.type != "cpu" or images.dtype == torch.bfloat16:
        return torch.stack([torch.rot90(images, quarter, dims=(2, 3)) for quarter in range(ANGLES)], dim=1)
    # numpy turns without copying and knows strides that run backwards: every view is written once, where it belongs.
    views = images.new_empty(len(images), ANGLES, *images.shape[1:])
    pixels, turned = images.numpy(), views.numpy()
    for quarter in range(ANGLES):
        turned[:, quarter] = np.rot90(pixels, quarter, axes=(2, 3))
    return views
