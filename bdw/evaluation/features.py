"""Frozen features of any layer of an encoder: the input of every measure but fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bdw.config import RunConfig
from bdw.data.augment import centre_crop
from bdw.encoders import Encoder
from bdw.errors import unknown_option

Features = NDArray[np.float32]
BATCH_SIZE = 256
"""Number of images whose features are extracted at a time."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How images are prepared and how measures are taken."""

    crop_size: int
    """Side in pixels of the centre crop."""
    batch_size: int = BATCH_SIZE
    """Images in a batch when features are extracted."""
    layer: str | None = None
    """A module of the backbone; None for its output."""
    max_iterations: int = 800
    """Limit of L-BFGS iterations of the logistic regression."""
    neighbours: int = 20
    """Number of neighbours that vote in the nearest-neighbour classifier."""
    fine_tuning_epochs: int = 100
    """Epochs of every cell of the fine-tuning grid."""
    semi_supervised_steps: int = 1000
    """Steps of semi-supervised fine-tuning."""
    crop_padding: int = 0
    """Pixels of black around an image before a random crop, where a measure trains."""
    flip: bool = False
    """Whether images are flipped at random where a measure trains."""
    seed: int = 0
    """Seed of the measures that draw: the classifier's initial weights and the order of images in fine-tuning."""

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """The run's own settings."""
        evaluation = config.evaluation
        return cls(
            crop_size=config.data.crop_size,
            layer=evaluation.layer,
            max_iterations=evaluation.max_iterations,
            neighbours=evaluation.neighbours,
            fine_tuning_epochs=evaluation.fine_tuning_epochs,
            semi_supervised_steps=evaluation.semi_supervised_steps,
            crop_padding=config.data.crop_padding,
            flip=config.data.flip,
            seed=config.optimiser.seed,
        )


def check_layer(encoder: Encoder, layer: str | None) -> None:
    """`InputError` that lists the names unless the backbone has a module of that name."""
    names = [name for name, _ in encoder.backbone.named_modules() if name]
    if layer is not None and layer not in names:
        raise unknown_option("layer", layer, names)


def extract_features(encoder: Encoder, images: NDArray[np.uint8], settings: Settings) -> Features:
    """Features (n, d) of centre crops, in evaluation mode and without augmentation; no image is dropped.

    A named layer's maps (n, c, h, w) or tokens (n, m, c) are averaged over positions.
    """
    check_layer(encoder, settings.layer)
    parts = []
    with evaluating(encoder), torch.inference_mode(), _outputs(encoder, settings.layer) as outputs:
        for batch in centre_crops(images, settings, device_of(encoder)):
            outputs.clear()
            features = encoder(batch)
            features = outputs[-1] if outputs else features
            parts.append(encoder.averaged(features).float().cpu().numpy())
    return np.concatenate(parts)


def centre_crops(images: NDArray[np.uint8], settings: Settings, device: torch.device) -> Iterator[Tensor]:
    """Batches (B, c, s, s) of centre crops in [-1, 1], in order, every image once."""
    return (centre_crop(batch, settings.crop_size) for batch in stored_batches(images, settings, device))


def stored_batches(images: NDArray[np.uint8], settings: Settings, device: torch.device) -> Iterator[Tensor]:
    """Batches (B, c, h, w) of the images as they are, uint8, in order, every image once."""
    for start in range(0, len(images), settings.batch_size):
        yield torch.from_numpy(np.ascontiguousarray(images[start : start + settings.batch_size])).to(device)


def device_of(module: nn.Module) -> torch.device:
    """The device of the encoder's parameters."""
    return next(module.parameters()).device


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block, the former mode after it."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


@contextmanager
def _outputs(encoder: Encoder, layer: str | None) -> Iterator[list[Tensor]]:
    """Collects the named layer's outputs; nothing without a name."""
    collected: list[Tensor] = []
    if layer is None:
        yield collected
        return
    # A copy: modules behind may work in place.
    hook = encoder.backbone.get_submodule(layer).register_forward_hook(
        lambda _module, _inputs, output: collected.append(output.clone())
    )
    try:
        yield collected
    finally:
        hook.remove()
