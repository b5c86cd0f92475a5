"""Encoders: images (B, c, h, w) -> features (B, feature_dim) of the final pooled layer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models.resnet import BasicBlock, ResNet

from bdw.errors import InputError, unknown_option


class Encoder(nn.Module):
    """A backbone and what its users must know: input channels, feature dimension, and the images it was made for.

    `backbone` alone is what a user takes home; for the ResNets it is torchvision's class with `fc` removed.
    `image_shape` is (c, s, s) of the source's images as the pretext task sees them.
    """

    autocast: torch.dtype | None = None
    """What the backbone computes in while it is trained (`bdw.encoders.precision`); None for what its parameters
    are."""
    is_compiled = False
    """Whether passes that a backward pass can follow are compiled code (`bdw.encoders.compilation`), which hooks and
    function modes do not see into."""

    def __init__(self, backbone: nn.Module, channels: int, feature_dim: int, image_shape: tuple[int, int, int]):
        super().__init__()
        self.backbone = backbone
        self.channels = channels
        self.feature_dim = feature_dim
        self.image_shape = image_shape

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, feature_dim); grey images are repeated where the backbone wants colour."""
        if images.shape[1] == 1 and self.channels == 3:
            images = images.expand(-1, 3, -1, -1)
        # The method itself is never compiled, the call may be.
        backbone = self.backbone.forward if self.is_compiled and not torch.is_grad_enabled() else self.backbone
        if self.autocast is None or not self.training:
            features: Tensor = backbone(images)
            return features
        with torch.autocast(images.device.type, self.autocast):
            rounded: Tensor = backbone(images)
        return rounded.float()


class SmallCNN(nn.Module):
    """Three 3x3 convolutions of stride 2, each with batch norm and ReLU, then the mean over positions.

    For images of 8 to 32 pixels where seconds count: no layer works at full resolution. Features (B, 4 * width).
    """

    def __init__(self, channels: int, width: int = 16):
        super().__init__()
        widths = (channels, width, 2 * width, 4 * width)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(inplace=True),
                )
                for before, after in itertools.pairwise(widths)
            )
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, 4 * width)."""
        maps: Tensor = self.layers(images)
        return maps.mean(dim=(2, 3))


class SmallResNet(nn.Module):
    """ResNet for images of 16 to 64 pixels: a 3x3 stem at full resolution, then three basic blocks of stride 2.

    Features (B, 4 * width).
    """

    def __init__(self, channels: int, width: int = 16):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.stages = nn.Sequential(
            *(_stage(width * before, width * after) for before, after in ((1, 1), (1, 2), (2, 4)))
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, 4 * width)."""
        features: Tensor = self.stages(self.stem(images))
        return features.mean(dim=(2, 3))


def _stage(channels_in: int, channels_out: int) -> nn.Module:
    shortcut = nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 1, stride=2, bias=False), nn.BatchNorm2d(channels_out)
    )
    block: nn.Module = BasicBlock(channels_in, channels_out, stride=2, downsample=shortcut)
    return block


MLP_WIDTH = 100
"""Hidden units of the paper's auto-encoder (Table 1)."""


def _mlp(channels: int, size: int) -> Encoder:
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, MLP_WIDTH), nn.ReLU(inplace=True))
    return Encoder(backbone, channels, MLP_WIDTH, (channels, size, size))


def _small_cnn(channels: int, size: int) -> Encoder:
    return Encoder(SmallCNN(channels, width=16), channels, 64, (channels, size, size))


def _small_resnet(channels: int, size: int) -> Encoder:
    return Encoder(SmallResNet(channels, width=16), channels, 64, (channels, size, size))


class _TorchvisionResNet(ResNet):  # type: ignore[misc]
    """torchvision's, whose first norm and pooling can be computed again for the backward pass instead of kept.

    They are a quarter of what a forward pass keeps, and a hundredth of its work.
    """

    recomputes = False

    def forward(self, images: Tensor) -> Tensor:
        """As torchvision's."""
        maps = self.conv1(images)
        if self.recomputes and torch.is_grad_enabled():
            maps = checkpoint(self._pooled, maps, use_reentrant=False, preserve_rng_state=False)
        else:
            maps = self._pooled(maps)
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        features: Tensor = self.fc(torch.flatten(self.avgpool(maps), 1))
        return features

    def _pooled(self, maps: Tensor) -> Tensor:
        pooled: Tensor = self.maxpool(self.relu(self.bn1(maps)))
        return pooled


def _torchvision_resnet(blocks: list[int]) -> Callable[[int, int], Encoder]:
    def build(channels: int, size: int) -> Encoder:
        if channels not in (1, 3):
            raise InputError(f"encoder: torchvision's ResNets take 1 or 3 channels; the source has {channels}")
        backbone = _TorchvisionResNet(BasicBlock, blocks)
        head = backbone.fc
        assert isinstance(head, nn.Linear)
        backbone.fc = nn.Identity()
        return Encoder(backbone, 3, head.in_features, (channels, size, size))

    return build


_BUILDERS: dict[str, Callable[[int, int], Encoder]] = {
    "mlp": _mlp,
    "resnet18": _torchvision_resnet([2, 2, 2, 2]),
    "resnet34": _torchvision_resnet([3, 4, 6, 3]),
    "small_cnn": _small_cnn,
    "small_resnet": _small_resnet,
}


def available() -> tuple[str, ...]:
    """Names that the config field `encoder` accepts."""
    return tuple(sorted(_BUILDERS))


def build(name: str, channels: int, size: int) -> Encoder:
    """A fresh encoder for images (channels, size, size), drawn from torch's global generator.

    `mlp` takes images of exactly that size (one hidden layer of 100 ReLU units, the paper's Table 1), the others any.
    Kernels of convolutions lie channels last in memory, and with them whatever is computed: the same numbers to
    rounding, in a fifth to a third less time.
    """
    if name not in _BUILDERS:
        raise unknown_option("encoder", name, _BUILDERS)
    encoder = _BUILDERS[name](channels, size)
    return encoder.to(memory_format=torch.channels_last)


@contextmanager
def untouched_statistics(model: nn.Module) -> Iterator[None]:
    """Normalise by the batch's own statistics, as in training, but leave all running statistics as they are.

    Target batches and tangent passes must not move them (docs/design.md, section 2); without
    `track_running_stats` batch norm neither reads nor writes its buffers.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.modules.batchnorm._NormBase) and module.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@contextmanager
def source_statistics(model: nn.Module) -> Iterator[None]:
    """Within, batch norm normalises by its running statistics, those of the source's batches, and leaves them alone."""
    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._NormBase)]
    training = [norm.training for norm in norms]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm, was_training in zip(norms, training, strict=True):
            norm.train(was_training)


@contextmanager
def constant(model: nn.Module) -> Iterator[None]:
    """Within, no gradient goes into the model's parameters, so that a forward pass keeps nothing for one."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


@contextmanager
def recomputed_stem(model: nn.Module) -> Iterator[None]:
    """Within, forward passes with a graph keep less and backward passes compute it again; the numbers are the same.

    For ResNets; the backward pass has to be within, too, and in it batch norm must not move its running statistics.
    """
    resnets = [module for module in model.modules() if isinstance(module, _TorchvisionResNet)]
    for resnet in resnets:
        resnet.recomputes = True
    try:
        yield
    finally:
        for resnet in resnets:
            resnet.recomputes = False
