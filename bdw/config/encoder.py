"""The network that is trained and handed over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bdw.config.fields import Basic

Norm = Literal["batch", "group", "sync"]


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The network that is trained and handed over."""

    encoder: Basic[str] = "small_cnn"
    """Encoder architecture (`resnet18`, `resnet34`, `resnet50`, `resnet101`, `small_resnet`, `small_cnn`, `small_vit`,
    `mlp`), or `timm:NAME` for any model of timm, such as `timm:vit_small_patch16_224`."""
    norm: Norm = "batch"
    """What a convolutional encoder normalises by: `batch` is each worker's own part of a batch; `group` each image by
    itself and `sync` the whole batch over all workers, for parts that are small."""
