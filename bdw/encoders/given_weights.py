"""Weights that a run starts from instead of random ones: what fits, what does not, and what is another architecture."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from bdw.config.encoder import TIMM, EncoderConfig
from bdw.encoders.base import Encoder
from bdw.encoders.registry import build
from bdw.encoders.timm_library import timm_library
from bdw.encoders.timm_models import normalisation_of, require_known
from bdw.errors import InputError

LEAST_SHARE = 0.9
"""Of the tensors of encoder and file that must agree in name and shape; with fewer it is another architecture."""
_NAMES_SHOWN = 3
_CONTAINERS = ("state_dict", "model")
"""Keys under which others save a state dict beside something else."""
logger = logging.getLogger(__name__)


class Fit(NamedTuple):
    """Which tensors of a file an encoder takes."""

    tensors: dict[str, Tensor]
    """By the names of the encoder's backbone."""
    missing: list[str]
    """The encoder has them, the file does not: they stay random."""
    misshapen: list[str]
    """In both, with different shapes: they stay random."""
    unused: list[str]
    """The file has them, the encoder does not."""
    share: float
    """Of the tensors that agree; a classifier that the encoder lacks does not count."""

    def __str__(self) -> str:
        """Counts and the first names, of what does not fit."""
        told = (
            _listed(names, what)
            for names, what in (
                (self.missing, "not in the file"),
                (self.misshapen, "of another shape"),
                (self.unused, "of the file not used"),
            )
        )
        return "; ".join(filter(None, told))


def fit(backbone: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Fit:
    """What a backbone with this state takes of these tensors.

    Names may have a prefix (`module.`, `backbone.`, `encoder.backbone.`): the one under which most of them fit counts.
    """
    first = next(iter(backbone))
    prefixes = {name.removesuffix(first) for name in found if name == first or name.endswith(f".{first}")}
    candidates = [_without(prefix, found) for prefix in sorted(prefixes)]
    inner = max(candidates, key=lambda each: _agreeing(backbone, each), default={})
    # Counts of batches are younger than many files, and nothing depends on them.
    ours = [name for name in backbone if not name.endswith("num_batches_tracked")]
    stages = {name.partition(".")[0] for name in ours}
    theirs = [name for name in inner if name not in backbone]
    agreeing = {name: inner[name] for name in backbone if name in inner and inner[name].shape == backbone[name].shape}
    counted = len(ours) + sum(name.partition(".")[0] in stages for name in theirs)
    return Fit(
        agreeing,
        [name for name in ours if name not in inner],
        [name for name in ours if name in inner and name not in agreeing],
        theirs,
        sum(name in agreeing for name in ours) / counted,
    )


def check(config: EncoderConfig, size: int) -> None:
    """`InputError` unless the weights that the config names exist and fit the encoder for grey or colour images of this
    size."""
    if config.weights is None:
        return
    found = _read(config, only_shapes=True)
    with torch.device("meta"):
        colour, grey = (build(config.encoder, channels, size, config.norm) for channels in (3, 1))
        try:
            _require_fit(config, colour, found)
        except InputError as error:
            try:
                _require_fit(config, grey, found)
            except InputError:
                raise error from None


def start_from(config: EncoderConfig, encoder: Encoder, *, tells: bool = True) -> None:
    """Put the weights that the config names into the encoder; what does not fit is logged if it `tells`.

    Without given weights nothing happens. Raises `InputError` for weights of another architecture, and where timm's
    cannot be downloaded.
    """
    if config.weights is None:
        return
    fitted = _require_fit(config, encoder, _read(config, only_shapes=False))
    encoder.backbone.load_state_dict(fitted.tensors, strict=False)
    if tells and str(fitted):
        logger.warning("weights: %s: %s", config.weights, fitted)
    if tells and config.file is None:
        wanted = normalisation_of(config.weights)
        if wanted != encoder.normalisation:
            logger.warning(
                "weights: %s expects pixels less %s over %s, encoder %s gives it %s over %s; encoder %s would fit",
                config.weights, *map(_numbers, wanted), config.encoder, *map(_numbers, encoder.normalisation),
                config.weights,
            )  # fmt: skip


def _require_fit(config: EncoderConfig, encoder: Encoder, found: Mapping[str, Tensor]) -> Fit:
    fitted = fit(encoder.backbone.state_dict(), _resampled(encoder, found))
    if fitted.share < LEAST_SHARE:
        number = len(encoder.backbone.state_dict())
        raise InputError(
            f"weights: {config.weights!r} is of another architecture than encoder {config.encoder!r}: "
            f"{len(fitted.tensors)} of its {number} tensors fit ({fitted}); allowed: weights of that encoder"
        )
    return fitted


def _read(config: EncoderConfig, *, only_shapes: bool) -> Mapping[str, Tensor]:
    file = config.file
    if file is None:
        return _of_timm(str(config.weights), only_shapes=only_shapes)
    try:
        return _of_file(file)
    except OSError as error:
        raise InputError(f"weights: {config.weights!r} cannot be read ({error.strerror}); allowed: a file") from error


def _of_file(file: Path) -> Mapping[str, Tensor]:
    """The tensors of a safetensors file or of a state dict that torch saved; nothing is unpickled."""
    contents = file.read_bytes()
    try:
        length = int.from_bytes(contents[:8], "little")
        json.loads(contents[8 : 8 + length] if length < len(contents) else b"")
    except ValueError:
        return _of_torch(file)
    try:
        found: dict[str, Tensor] = safetensors.torch.load(contents)
    except safetensors.SafetensorError as error:
        raise _unreadable(file, error) from error
    return found


def _of_torch(file: Path) -> Mapping[str, Tensor]:
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen types for what it cannot read
        raise _unreadable(file, error) from error
    for name in _CONTAINERS:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    if not isinstance(found, dict):
        raise _unreadable(file, TypeError(f"it holds a {type(found).__name__}"))
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _unreadable(file: Path, error: Exception) -> InputError:
    reason = str(error).partition("\n")[0]
    return InputError(f"weights: {file} cannot be read ({reason}); allowed: safetensors, or torch's state dicts")


def _of_timm(weights: str, *, only_shapes: bool) -> Mapping[str, Tensor]:
    require_known(weights, "weights")
    timm, name = timm_library(), weights.removeprefix(TIMM)
    if only_shapes:
        if not timm.models.is_model_pretrained(name):
            raise InputError(f"weights: timm has no weights of {weights!r}; allowed: a name of timm.list_pretrained()")
        with torch.device("meta"):
            shapes: Mapping[str, Tensor] = timm.create_model(name, num_classes=0).state_dict()
        return shapes
    try:
        found: Mapping[str, Tensor] = timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # of the network, the disk, or the service
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"weights: {weights!r} could not be downloaded ({type(error).__name__}: {reason}); allowed: a file"
        ) from error
    return found


def _resampled(encoder: Encoder, found: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Positions and patches of a vision transformer that was trained at another size, as timm resamples them."""
    if "pos_embed" not in found or "pos_embed" not in encoder.backbone.state_dict():
        return found
    resampled: Mapping[str, Tensor] = timm_library().models.vision_transformer.checkpoint_filter_fn(
        dict(found), encoder.backbone
    )
    return resampled


def _numbers(values: Iterable[float]) -> str:
    return "/".join(f"{value:g}" for value in values)


def _without(prefix: str, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def _agreeing(backbone: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> int:
    return sum(name in found and found[name].shape == value.shape for name, value in backbone.items())


def _listed(names: Iterable[str], what: str) -> str:
    listed = list(names)
    more = ", ..." if len(listed) > _NAMES_SHOWN else ""
    return f"{len(listed)} {what} ({', '.join(listed[:_NAMES_SHOWN])}{more})" if listed else ""
