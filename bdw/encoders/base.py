"""What every encoder is: images (B, c, h, w) -> features (B, feature_dim) of the final pooled layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """A backbone and what its users must know: input channels, feature dimension, and the images it was made for.

    `backbone` alone is what a user takes home; for the ResNets it is torchvision's class with `fc` removed.
    `image_shape` is (c, s, s) of the source's images as the pretext task sees them.
    """

    autocast: torch.dtype | None = None
    """What the backbone computes in while it is trained (`bdw.encoders.precision`); None for what its parameters
    are."""
    is_compiled = False
    """Whether passes that a backward pass can follow are compiled code (`bdw.encoders.compilation`), which hooks and
    function modes do not see into."""

    def __init__(self, backbone: nn.Module, channels: int, feature_dim: int, image_shape: tuple[int, int, int]):
        super().__init__()
        self.backbone = backbone
        self.channels = channels
        self.feature_dim = feature_dim
        self.image_shape = image_shape

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, feature_dim); grey images are repeated where the backbone wants colour."""
        if images.shape[1] == 1 and self.channels == 3:
            images = images.expand(-1, 3, -1, -1)
        # The method itself is never compiled, the call may be.
        backbone = self.backbone.forward if self.is_compiled and not torch.is_grad_enabled() else self.backbone
        if self.autocast is None or not self.training:
            features: Tensor = backbone(images)
            return features
        with torch.autocast(images.device.type, self.autocast):
            rounded: Tensor = backbone(images)
        return rounded.float()
