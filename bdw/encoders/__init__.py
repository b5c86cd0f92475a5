"""Encoders: images (B, c, h, w) -> features (B, feature_dim) of the final pooled layer."""

from __future__ import annotations

from bdw.encoders.registry import (
    MLP_WIDTH,
    Encoder,
    SmallCNN,
    SmallResNet,
    available,
    build,
    constant,
    recomputed_stem,
    source_statistics,
    untouched_statistics,
)

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
