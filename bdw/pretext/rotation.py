"""Rotation prediction (Gidaris, Singh and Komodakis, "Unsupervised representation learning by predicting image
rotations", ICLR 2018): which of four right angles was the image turned by?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.pretext.base import PretextOutput

ANGLES = 4


class Rotation:
    """Four views per instance, turned by 0, 90, 180 and 270 degrees; cross-entropy averaged over the views."""

    num_views = ANGLES

    def head(self, feature_dim: int, image_shape: tuple[int, int, int]) -> nn.Module:
        """A linear layer to four logits."""
        del image_shape
        return nn.Linear(feature_dim, ANGLES)

    def views(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Images (4k, c, s, s), instance i's views being rows 4i to 4i + 3, and their angles (k, 4) in right angles.

        Nothing is drawn.
        """
        del generator
        angles = torch.arange(ANGLES, device=images.device).expand(len(images), ANGLES)
        return _turned(images).flatten(0, 1), angles

    def some_views(self, views: tuple[Tensor, ...], count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Images (count * k, c, s, s) and angles (k, count)."""
        images, angles = views
        drawn = torch.rand(angles.shape, generator=generator).argsort(dim=1)[:, :count].sort(dim=1).values
        drawn = drawn.to(angles.device)
        rows = torch.arange(len(angles), device=angles.device).unsqueeze(1) * angles.shape[1] + drawn
        return images[rows.flatten()], angles.gather(1, drawn)

    def solve(
        self, encoder: Callable[[Tensor], Tensor], head: Callable[..., Any], views: tuple[Tensor, ...]
    ) -> PretextOutput:
        """Losses (k,): mean cross-entropy of an instance's views; hits (k,): share of angles recognised."""
        images, angles = views
        features = encoder(images)
        logits = head(features)
        losses = functional.cross_entropy(logits, angles.flatten(), reduction="none").view(angles.shape).mean(dim=1)
        hits = (logits.detach().argmax(dim=1).view(angles.shape) == angles).to(logits.dtype).mean(dim=1)
        return PretextOutput(losses, hits, features.detach())


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
