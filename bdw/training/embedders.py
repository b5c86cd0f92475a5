"""The encoders that selectors may compare images by: of a run, of a file, or timm's with its own weights."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bdw import encoders
from bdw.config import DataConfig, EncoderConfig
from bdw.config.encoder import TIMM
from bdw.config.named_file import RUN
from bdw.config.selector_options import PIXELS
from bdw.encoders import Encoder, given_weights
from bdw.errors import InputError
from bdw.evaluation.features import Settings, extract_features
from bdw.runs.directory import RunDirectory
from bdw.runs.encoder_input import InputTransform
from bdw.runs.export import read_encoder


@dataclass(frozen=True, eq=False)
class EncoderFeatures:
    """The output of one encoder, of centre crops."""

    encoder: Encoder
    transform: InputTransform
    key: str
    """Sixteen hexadecimal digits of what the encoder is and how images are cut for it."""

    def __call__(self, images: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
        """Features (n, d) of stored images (n, c, h, w), resized where the encoder wants another size."""
        settings = Settings(crop_size=self.transform.crop_size)
        return extract_features(self.encoder.to(device), self.transform.stored(images), settings)


def embedder(features: str, data: DataConfig, channels: int) -> EncoderFeatures:
    """The encoder that `features` names: `run:DIR`, `timm:NAME.TAG` or a file that bdw wrote.

    `data`, `channels`: of the images, for timm's models, which take them as the run does. Raises `InputError` for what
    cannot be read or downloaded.
    """
    if features.startswith(TIMM):
        wanted = EncoderConfig(encoder=features, weights=features)
        built = encoders.build(features, channels, data.crop_size)
        with _named_by_the_option():
            given_weights.start_from(wanted, built)
        transform = InputTransform(channels, data.image_size, data.crop_size)
        return EncoderFeatures(built.eval(), transform, _key(f"{features} {transform}".encode()))
    path = file_of(features)
    encoder, metadata = read_encoder(path)
    return EncoderFeatures(encoder, InputTransform.of(metadata), _key(path.read_bytes()))


def check_features(features: str | None, crop_size: int) -> None:
    """`InputError` unless `features` are pixels, or an encoder that can be read or that timm knows."""
    if features is None or features == PIXELS:
        return
    if features.startswith(TIMM):
        with _named_by_the_option():
            given_weights.check(EncoderConfig(encoder=features, weights=features), crop_size)
        return
    path = file_of(features)
    if not path.is_file():
        raise InputError(
            f"selector.features: {features!r} is not there; allowed: pixels, an encoder.safetensors, run:DIR of a run "
            "that left an encoder, or timm:NAME.TAG"
        )
    read_encoder(path)


@contextlib.contextmanager
def _named_by_the_option() -> Iterator[None]:
    """Within, an `InputError` about given weights names the selector's option before its own field."""
    try:
        yield
    except InputError as error:
        raise InputError(f"selector.features: {error}") from None


def file_of(features: str) -> Path:
    """The encoder file of a run, or the file itself."""
    return RunDirectory(Path(features.removeprefix(RUN))).encoder if features.startswith(RUN) else Path(features)


def _key(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()[:16]
