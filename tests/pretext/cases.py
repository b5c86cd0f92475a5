"""What the conformance suite makes of every registered pretext task, and of two that only tests have.

A task is taken from the registry. It stands in `SMALL` as well if its defaults are too large for a toy problem, or need
other images than grey ones of 6 x 6 pixels.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn

from bdw import pretext
from bdw.config.pretext import options_of
from bdw.config.pretext_options.auto_encoder import AutoEncoderOptions
from bdw.config.pretext_options.barlow_twins import BarlowTwinsOptions
from bdw.config.pretext_options.byol import BYOLOptions
from bdw.config.pretext_options.counting import CountingOptions
from bdw.config.pretext_options.cpc import CPCOptions
from bdw.config.pretext_options.deep_cluster import DeepClusterOptions
from bdw.config.pretext_options.dino import DINOOptions
from bdw.config.pretext_options.exemplar import ExemplarOptions
from bdw.config.pretext_options.instance_discrimination import InstanceDiscriminationOptions
from bdw.config.pretext_options.jigsaw import JigsawOptions
from bdw.config.pretext_options.mae import MaskedAutoEncoderOptions
from bdw.config.pretext_options.moco import MoCoV1Options, MoCoV2Options
from bdw.config.pretext_options.relative_location import RelativeLocationOptions
from bdw.config.pretext_options.simclr import SimCLROptions
from bdw.config.pretext_options.simsiam import SimSiamOptions
from bdw.config.pretext_options.swav import SwAVOptions
from bdw.config.pretext_options.vicreg import VICRegOptions
from bdw.encoders import Encoder, PatchEncoder
from bdw.errors import InputError
from bdw.pretext import PretextModel, PretextTask
from tests.pretext.interacting_tasks import RedundancyReduction, Taught

FEATURES = 5
INSTANCES = 40
"""Of the source that a model is built for."""
NORMS: dict[str, Callable[[], nn.Module]] = {
    "group": functools.partial(nn.GroupNorm, 2, 4),
    "batch": functools.partial(nn.BatchNorm2d, 4),
}


def small_encoder(channels: int, side: int, norm: str) -> Encoder:
    """A convolution, a norm and a linear layer, for images of any side from 3 on; without kinks."""
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, FEATURES))
    backbone = nn.Sequential(nn.Conv2d(channels, 4, 3), NORMS[norm](), nn.Tanh(), *pooled)
    return Encoder(backbone, channels, FEATURES, (channels, side, side))


class _MapNet(nn.Module):
    """A convolution, a norm and a map of 4 x 4 positions; its features are the map's mean."""

    def __init__(self, channels: int, norm: str):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, 4, 3), NORMS[norm](), nn.Tanh(), nn.AdaptiveAvgPool2d(4))

    def feature_map(self, images: Tensor) -> Tensor:
        maps: Tensor = self.layers(images)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        return self.feature_map(images).mean(dim=(2, 3))


def mapped_encoder(channels: int, side: int, norm: str) -> Encoder:
    """One with a map, for images of any side from 3 on; without kinks."""
    return Encoder(_MapNet(channels, norm), channels, 4, (channels, side, side))


def patch_encoder(channels: int, side: int, norm: str) -> Encoder:
    """A vision transformer of one block for 4 x 4 patches, with a class token; batch norm takes the place of its last
    norm. `InputError` for a side that is no multiple of 4."""
    if side % 4:
        raise InputError(f"crop_size: {side} cannot work with 4 x 4 patches; allowed: multiples of 4")
    backbone = timm.models.VisionTransformer(
        img_size=side, patch_size=side // 4, in_chans=channels, num_classes=0, embed_dim=8, depth=1, num_heads=2
    )
    if norm == "batch":
        backbone.norm = _NormOfTokens(8)
    return PatchEncoder(backbone, channels, 8, (channels, side, side))


class _NormOfTokens(nn.BatchNorm1d):
    """Batch norm of tokens (n, p, d)."""

    def forward(self, tokens: Tensor) -> Tensor:
        normalised: Tensor = super().forward(tokens.flatten(0, 1)).view_as(tokens)
        return normalised


@dataclass(frozen=True, kw_only=True)
class Case:
    """A task on a toy problem."""

    task: type[PretextTask]
    options: Any = None
    """Small ones; a field `batch_norm` among them is set as the norm of the encoder says."""
    channels: int = 1
    side: int = 6
    """Of stored images and of crops, in pixels."""
    loss_falls: bool = True
    """Whether it does in training; not where it is measured against a teacher or a centre that moves."""
    known_layers: bool = True
    """Whether all parameters are in layers that the training pass can be read from; otherwise it is refused."""
    tinted: bool = False
    """Whether the two kinds of images in training differ in colour, too."""
    encoder: Callable[[int, int, str], Encoder] = small_encoder
    """From channels, side and norm (`group` or `batch`)."""

    def model(self, norm: str = "group") -> PretextModel:
        """Encoder and task in float64 and training mode, always the same."""
        torch.manual_seed(0)
        encoder, options = self.encoder(self.channels, self.side, norm), self.options
        if hasattr(options, "batch_norm"):
            options = dataclasses.replace(options, batch_norm=norm == "batch")
        task = self.task(encoder, options)
        task.keep(torch.ones(INSTANCES, dtype=torch.bool))
        return PretextModel(encoder, task).double().train()

    def images(self, count: int) -> Tensor:
        """Stored images (count, c, side, side), uint8, always the same."""
        shape, generator = (count, self.channels, self.side, self.side), torch.Generator().manual_seed(1)
        return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


THREE = options_of("multitask")(
    tasks=("counting", "rotation", "vae"),
    task_weights=(1.0, 0.5, 0.02),
    counting=CountingOptions(count_dim=4, hidden_dim=6),
    vae=AutoEncoderOptions(latent_size=2, decoder_width=4),
)
"""Three tasks: one whose instances interact, one without options, one with noise of its own."""
SMALL: dict[str, dict[str, Any]] = {
    "barlow_twins": {"options": BarlowTwinsOptions(projection_dim=4, hidden_dim=6), "channels": 3},
    "byol": {"options": BYOLOptions(projection_dim=4, hidden_dim=6), "channels": 3, "loss_falls": False},
    "cpc": {"options": CPCOptions(grid=2, patch_crop=0.75, context_width=3, context_blocks=1), "side": 12},
    "deep_cluster": {"options": DeepClusterOptions(clusters=3)},
    "dino": {
        "options": DINOOptions(projection_dim=4, hidden_dim=6, prototypes=9, local_crops=3),
        "known_layers": False,
        "channels": 3,
        "loss_falls": False,
    },
    "instance_discrimination": {
        "options": InstanceDiscriminationOptions(projection_dim=4, proximal=0.3),
        "channels": 3,
    },
    "moco_v1": {"options": MoCoV1Options(projection_dim=4, queue=10), "channels": 3, "loss_falls": False},
    "moco_v2": {"options": MoCoV2Options(projection_dim=4, hidden_dim=6, queue=5), "channels": 3, "loss_falls": False},
    "simsiam": {"options": SimSiamOptions(projection_dim=4, hidden_dim=6), "channels": 3},
    "jigsaw": {"options": JigsawOptions(permutations=5, tile_dim=4, hidden_dim=6), "channels": 3, "side": 15},
    "relative_location": {"options": RelativeLocationOptions(jitter=0.2), "channels": 3, "side": 18},
    "exemplar": {"options": ExemplarOptions(), "channels": 3},
    "counting": {"options": CountingOptions(count_dim=4, hidden_dim=6), "channels": 3, "side": 8},
    "swav": {
        "options": SwAVOptions(
            projection_dim=8, hidden_dim=16, prototypes=20, local_crops=2, queue=10, queue_begins=0.0
        ),
        "channels": 3,
    },
    "vicreg": {"options": VICRegOptions(projection_dim=4, hidden_dim=6), "channels": 3},
    "simclr": {"options": SimCLROptions(projection_dim=4, hidden_dim=6), "channels": 3},
    "colourisation": {"encoder": mapped_encoder, "channels": 3, "tinted": True},
    "context_encoder": {"encoder": mapped_encoder},
    "mae": {
        "options": MaskedAutoEncoderOptions(decoder_depth=1, decoder_width=8, decoder_heads=2),
        "side": 8,
        "encoder": patch_encoder,
        "known_layers": False,
    },
    "split_brain": {"encoder": mapped_encoder, "channels": 3, "tinted": True},
}
CASES: dict[str, Case] = {
    **{name: Case(task=pretext.task_class(name), **SMALL.get(name, {})) for name in pretext.available()},
    "multitask": Case(task=pretext.task_class("multitask", THREE), options=THREE, channels=3, side=12),
    "taught": Case(task=Taught, loss_falls=False, **SMALL["simclr"]),
    "barlow_twins, mixed": Case(
        task=pretext.task_class("barlow_twins"),
        options=BarlowTwinsOptions(projection_dim=4, hidden_dim=6, mixed=5.0),
        channels=3,
    ),
    "barlow_twins, wide": Case(
        task=pretext.task_class("barlow_twins"),
        options=BarlowTwinsOptions(projection_dim=16, hidden_dim=6, mixed=5.0),
        channels=3,
    ),
    "vicreg, wide": Case(
        task=pretext.task_class("vicreg"), options=VICRegOptions(projection_dim=16, hidden_dim=6), channels=3
    ),
    "redundancy reduction": Case(task=RedundancyReduction),
}
