"""Encoders: images (B, c, h, w) -> features (B, feature_dim) of the final pooled layer."""

from __future__ import annotations

from bdw.encoders.base import Encoder
from bdw.encoders.normalisation import constant, source_statistics, untouched_statistics
from bdw.encoders.registry import available, build
from bdw.encoders.resnet import recomputed_stem
from bdw.encoders.small import MLP_WIDTH, SmallCNN, SmallResNet

__all__ = [
    "MLP_WIDTH",
    "Encoder",
    "SmallCNN",
    "SmallResNet",
    "available",
    "build",
    "constant",
    "recomputed_stem",
    "source_statistics",
    "untouched_statistics",
]
