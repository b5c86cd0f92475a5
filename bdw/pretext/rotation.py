"""Rotation prediction (Gidaris, Singh and Komodakis, "Unsupervised representation learning by predicting image
rotations", ICLR 2018): which of four right angles was the image turned by?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.pretext import PretextOutput

ANGLES = 4


class Rotation:
    """Four views per instance, turned by 0, 90, 180 and 270 degrees; cross-entropy averaged over the views."""

    def head(self, feature_dim: int, image_shape: tuple[int, int, int]) -> nn.Module:
        """A linear layer to four logits."""
        del image_shape
        return nn.Linear(feature_dim, ANGLES)

    def views(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """One tensor (4k, c, s, s): instance i's views are rows 4i to 4i + 3. Nothing is drawn."""
        del generator
        turned = [torch.rot90(images, quarter, dims=(2, 3)) for quarter in range(ANGLES)]
        return (torch.stack(turned, dim=1).flatten(0, 1),)

    def solve(self, encoder: nn.Module, head: nn.Module, views: tuple[Tensor, ...]) -> PretextOutput:
        """Losses (k,): mean cross-entropy of the four views; hits (k,): share of angles recognised."""
        (images,) = views
        logits = head(encoder(images))
        angles = torch.arange(ANGLES, device=logits.device).repeat(len(images) // ANGLES)
        losses = functional.cross_entropy(logits, angles, reduction="none").view(-1, ANGLES).mean(dim=1)
        hits = (logits.detach().argmax(dim=1) == angles).view(-1, ANGLES).to(logits.dtype).mean(dim=1)
        return PretextOutput(losses, hits)
