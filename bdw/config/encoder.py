"""The network that is trained and handed over."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.fields import Basic


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The network that is trained and handed over."""

    encoder: Basic[str] = "small_cnn"
    """Encoder architecture (`resnet18`, `resnet34`, `small_resnet`, `small_cnn`, `mlp`)."""
