"""Small encoders for small images, where seconds count."""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from bdw.encoders.base import Encoder


class SmallCNN(nn.Module):
    """Three 3x3 convolutions of stride 2, each with batch norm and ReLU, then the mean over positions.

    For images of 8 to 32 pixels where seconds count: no layer works at full resolution. Features (B, 4 * width).
    """

    def __init__(self, channels: int, width: int = 16):
        super().__init__()
        widths = (channels, width, 2 * width, 4 * width)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(inplace=True),
                )
                for before, after in itertools.pairwise(widths)
            )
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, 4 * width)."""
        return self.feature_map(images).mean(dim=(2, 3))

    def feature_map(self, images: Tensor) -> Tensor:
        """The map before pooling, (B, 4 * width, h / 8, w / 8)."""
        maps: Tensor = self.layers(images)
        return maps


class SmallResNet(nn.Module):
    """ResNet for images of 16 to 64 pixels: a 3x3 stem at full resolution, then three basic blocks of stride 2.

    Features (B, 4 * width).
    """

    def __init__(self, channels: int, width: int = 16):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.stages = nn.Sequential(
            *(_stage(width * before, width * after) for before, after in ((1, 1), (1, 2), (2, 4)))
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, 4 * width)."""
        return self.feature_map(images).mean(dim=(2, 3))

    def feature_map(self, images: Tensor) -> Tensor:
        """The map before pooling, (B, 4 * width, h / 8, w / 8)."""
        maps: Tensor = self.stages(self.stem(images))
        return maps


def _stage(channels_in: int, channels_out: int) -> nn.Module:
    shortcut = nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 1, stride=2, bias=False), nn.BatchNorm2d(channels_out)
    )
    block: nn.Module = BasicBlock(channels_in, channels_out, stride=2, downsample=shortcut)
    return block


MLP_WIDTH = 100
"""Hidden units of the paper's auto-encoder (Table 1)."""


def mlp(channels: int, size: int) -> Encoder:
    """One hidden layer of 100 ReLU units, for images of exactly that size (the paper's Table 1)."""
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, MLP_WIDTH), nn.ReLU(inplace=True))
    return Encoder(backbone, channels, MLP_WIDTH, (channels, size, size))


def small_cnn(channels: int, size: int) -> Encoder:
    """`SmallCNN` with 64 features."""
    return Encoder(SmallCNN(channels, width=16), channels, 64, (channels, size, size))


def small_resnet(channels: int, size: int) -> Encoder:
    """`SmallResNet` with 64 features."""
    return Encoder(SmallResNet(channels, width=16), channels, 64, (channels, size, size))
