"""An encoder: two convolutions and a mean over positions. Group norm, so that no instance depends on another."""

from __future__ import annotations

from torch import Tensor, nn

from bdw.encoders import Encoder

FEATURES = 32


class TwoConvolutions(nn.Module):
    """Images (B, c, h, w) to features (B, 32)."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, 3, stride=2, padding=1),
            nn.GroupNorm(4, 16),
            nn.ReLU(),
            nn.Conv2d(16, FEATURES, 3, stride=2, padding=1),
            nn.ReLU(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, 32)."""
        return self.feature_map(images).mean(dim=(2, 3))

    def feature_map(self, images: Tensor) -> Tensor:
        """The map before pooling, (B, 32, h / 4, w / 4); optional, for tasks that look at positions."""
        maps: Tensor = self.layers(images)
        return maps


def two_convolutions(channels: int, size: int) -> Encoder:
    """The encoder for images (channels, size, size) in [-1, 1]."""
    return Encoder(TwoConvolutions(channels), channels, FEATURES, (channels, size, size))
