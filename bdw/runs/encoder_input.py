"""What an exported encoder wants as its input, and images made into it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.data.augment import centre_crop
from bdw.data.decode import fit_array
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.runs.export import INPUT_RANGE, read_encoder


@dataclass(frozen=True)
class InputTransform:
    """Makes uint8 images into an encoder's input, as the run's own evaluation does."""

    channels: int
    """1 for grey, 3 for RGB."""
    image_size: int
    """Side in pixels to which the central square is resized."""
    crop_size: int
    """Side in pixels of the centre crop that the encoder sees."""

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Self:
        """That of an encoder file with this metadata; a file that names no range is from when all had [-1, 1].

        Raises `InputError` for another range.
        """
        told = {name: metadata.get(name, value) for name, value in INPUT_RANGE.items()}
        if told != INPUT_RANGE:
            raise InputError(f"encoder file: input range {told} is not known to this version; allowed: {INPUT_RANGE}")
        crop_size = int(metadata["crop_size"])
        return cls(int(metadata["channels"]), int(metadata.get("image_size", crop_size)), crop_size)

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (B, c, h, w), c being 1 (grey) or 3 (RGB), to float32 (B, channels, crop_size, crop_size) in [-1, 1].

        Raises `InputError` for other types and shapes.
        """
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] not in (1, 3):
            raise InputError(
                f"images: {images.dtype} of shape {tuple(images.shape)} cannot work; allowed: torch.uint8 of shape "
                "(B, 1, h, w) or (B, 3, h, w)"
            )
        if tuple(images.shape[1:]) != (self.channels, self.image_size, self.image_size):
            images = torch.from_numpy(self.stored(images.cpu().numpy())).to(images.device)
        return centre_crop(images, self.crop_size)

    def stored(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 (B, c, h, w), c being 1 or 3, as the run's own packed images: (B, channels, image_size, image_size)."""
        shape = (self.channels, self.image_size, self.image_size)
        if images.shape[1:] == shape:
            return images
        rows = images.transpose(0, 2, 3, 1)
        packed = [fit_array(row.squeeze(-1) if row.shape[-1] == 1 else row, *shape[:2]) for row in rows]
        return np.stack(packed) if packed else np.empty((0, *shape), np.uint8)


def load_encoder(path: str | os.PathLike[str]) -> tuple[Encoder, InputTransform]:
    """The encoder of a run's `encoder.safetensors`, and what makes images into its input.

        encoder, transform = bdw.load_encoder("runs/mine/encoder.safetensors")
        features = encoder(transform(images))

    The encoder is on the CPU in evaluation mode, and returns features (B, feature_dim). The transform takes uint8
    images (B, c, h, w) of any size; it resizes, crops and scales them as the run's own evaluation did. Raises
    `InputError` for a file that is none of bdw's.
    """
    encoder, metadata = read_encoder(Path(path))
    return encoder, InputTransform.of(metadata)
