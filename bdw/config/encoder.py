"""The network that is trained and handed over."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from bdw import plugins
from bdw.config.checks import require
from bdw.config.fields import Basic, Free
from bdw.config.named_file import absolute, content_of, path_of, require_content

ENCODERS = ("mlp", "resnet101", "resnet18", "resnet34", "resnet50", "small_cnn", "small_resnet", "small_vit")
"""The built-in encoders, known without torch; `bdw/encoders/registry.py` has each of them."""
PLUG_INS: plugins.Group = "bdw.encoders"
Norm = Literal["batch", "group", "sync"]
TIMM = "timm:"
"""What names of timm's models and weights begin with."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The network that is trained and handed over."""

    encoder: Basic[str] = "small_cnn"
    """Encoder architecture (`resnet18`, `resnet34`, `resnet50`, `resnet101`, `small_resnet`, `small_cnn`, `small_vit`,
    `mlp`), or `timm:NAME` for any model of timm, such as `timm:vit_small_patch16_224`."""
    norm: Norm = "batch"
    """What a convolutional encoder normalises by: `batch` is each worker's own part of a batch; `group` each image by
    itself and `sync` the whole batch over all workers, for parts that are small."""
    weights: Free[str | None] = None
    """Continue from these weights instead of random ones: a file (safetensors, or a state dict saved by torch),
    `run:DIR` for the encoder of a run, or `timm:NAME.TAG` for timm's own, which are downloaded once."""
    weights_content: str | None = None
    """What these weights are: the first digits of the file's SHA-256, or the name. The run fills it in; where it is
    given, other weights are refused."""

    def __post_init__(self) -> None:
        require(self.weights != "", "weights", self.weights, "a file, run:DIR, timm:NAME.TAG, or none")
        if self.weights is not None and not self.weights.startswith(TIMM):
            object.__setattr__(self, "weights", absolute(self.weights))

    @property
    def file(self) -> Path | None:
        """Where the weights lie; None for timm's and for random ones."""
        if self.weights is None or self.weights.startswith(TIMM):
            return None
        return path_of(self.weights, "encoder.safetensors")

    def with_content(self) -> Self:
        """The same, saying what the weights hold; itself without given weights.

        Raises `InputError` for a file that cannot be read, or that is not what `weights_content` says.
        """
        if self.weights is None:
            return self
        file, content = self.file, self.weights
        if file is not None:
            allowed = "a file, run:DIR of a run that left an encoder, or timm:NAME.TAG"
            content = content_of("weights", self.weights, file, allowed)
        require_content("weights", self.weights, self.weights_content, content, "weights")
        return dataclasses.replace(self, weights_content=content)
