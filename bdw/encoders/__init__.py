"""Encoders: images (B, c, h, w) -> features (B, feature_dim) of the final pooled layer."""

from __future__ import annotations

from bdw.encoders.base import FROM_MINUS_ONE_TO_ONE, Encoder, Normalisation
from bdw.encoders.norm import synchronised
from bdw.encoders.normalisation import constant, source_statistics, untouched_statistics
from bdw.encoders.patches import PatchEncoder
from bdw.encoders.registry import available, build, check_name
from bdw.encoders.resnet import recomputed_stem
from bdw.encoders.small import MLP_WIDTH, SmallCNN, SmallResNet

__all__ = [
    "FROM_MINUS_ONE_TO_ONE",
    "MLP_WIDTH",
    "Encoder",
    "Normalisation",
    "PatchEncoder",
    "SmallCNN",
    "SmallResNet",
    "available",
    "build",
    "check_name",
    "constant",
    "recomputed_stem",
    "source_statistics",
    "synchronised",
    "untouched_statistics",
]
