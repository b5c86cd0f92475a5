"""The encoders that a config can name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torchvision.models.resnet import BasicBlock, Bottleneck

from bdw import plugins
from bdw.config.encoder import PLUG_INS, Norm
from bdw.encoders.base import Encoder
from bdw.encoders.norm import change_norm
from bdw.encoders.patches import small_vit
from bdw.encoders.resnet import torchvision_resnet
from bdw.encoders.small import mlp, small_cnn, small_resnet
from bdw.encoders.timm_models import PREFIX, require_known, timm_model
from bdw.errors import unknown_option

Builder = Callable[[int, int], Encoder]
_BUILDERS: dict[str, Builder] = {
    "mlp": mlp,
    "resnet18": torchvision_resnet(BasicBlock, [2, 2, 2, 2]),
    "resnet34": torchvision_resnet(BasicBlock, [3, 4, 6, 3]),
    "resnet50": torchvision_resnet(Bottleneck, [3, 4, 6, 3]),
    "resnet101": torchvision_resnet(Bottleneck, [3, 4, 23, 3]),
    "small_cnn": small_cnn,
    "small_resnet": small_resnet,
    "small_vit": small_vit,
}


def available() -> tuple[str, ...]:
    """Names that the config field `encoder` accepts, beside `timm:NAME`; those of plug-ins included."""
    return tuple(sorted({*_BUILDERS, *plugins.names(PLUG_INS)}))


def check_name(name: str) -> None:
    """`InputError`, with the nearest name, for an encoder that there is not."""
    if name.startswith(PREFIX):
        require_known(name)
    elif name not in available():
        raise unknown_option("encoder", name, [*available(), f"{PREFIX}NAME"])


def build(name: str, channels: int, size: int, norm: Norm = "batch") -> Encoder:
    """A fresh encoder for images (channels, size, size), drawn from torch's global generator.

    `mlp` takes images of exactly that size (one hidden layer of 100 ReLU units, the paper's Table 1), and so do vision
    transformers; the others any. `norm`: see `EncoderConfig`. Kernels of convolutions lie channels last in memory, and
    with them whatever is computed: the same numbers to rounding, in a fifth to a third less time.
    """
    check_name(name)
    encoder = timm_model(name, channels, size) if name.startswith(PREFIX) else _builder(name)(channels, size)
    if not isinstance(encoder, Encoder):
        raise plugins.refused(
            PLUG_INS, name, "encoder", "a function (channels, size) that returns a bdw.encoders.Encoder"
        )
    change_norm(encoder.backbone, norm, name)
    return encoder.to(memory_format=torch.channels_last)


def _builder(name: str) -> Builder:
    if name in _BUILDERS:
        return _BUILDERS[name]
    found = plugins.load(PLUG_INS, name, "encoder")
    if not callable(found):
        raise plugins.refused(
            PLUG_INS, name, "encoder", "a function (channels, size) that returns a bdw.encoders.Encoder"
        )
    builder: Builder = found
    return builder
