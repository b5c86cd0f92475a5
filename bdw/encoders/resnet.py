"""torchvision's ResNets, whose stem can be computed again for the backward pass instead of kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from bdw.encoders.base import Encoder
from bdw.errors import InputError


class _TorchvisionResNet(ResNet):  # type: ignore[misc]
    """torchvision's, whose first norm and pooling can be computed again for the backward pass instead of kept.

    They are a quarter of what a forward pass keeps, and a hundredth of its work.
    """

    recomputes = False

    def forward(self, images: Tensor) -> Tensor:
        """As torchvision's."""
        features: Tensor = self.fc(torch.flatten(self.avgpool(self.feature_map(images)), 1))
        return features

    def feature_map(self, images: Tensor) -> Tensor:
        """The map before pooling, (B, d, h / 32, w / 32)."""
        maps = self.conv1(images)
        if self.recomputes and torch.is_grad_enabled():
            maps = checkpoint(self._pooled, maps, use_reentrant=False, preserve_rng_state=False)
        else:
            maps = self._pooled(maps)
        last: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return last

    def _pooled(self, maps: Tensor) -> Tensor:
        pooled: Tensor = self.maxpool(self.relu(self.bn1(maps)))
        return pooled


def torchvision_resnet(block: type[BasicBlock | Bottleneck], blocks: list[int]) -> Callable[[int, int], Encoder]:
    """What builds torchvision's ResNet of such blocks, so many in each stage, without its classifier."""

    def build(channels: int, size: int) -> Encoder:
        if channels not in (1, 3):
            raise InputError(f"encoder: torchvision's ResNets take 1 or 3 channels; the source has {channels}")
        backbone = _TorchvisionResNet(block, blocks)
        head = backbone.fc
        assert isinstance(head, nn.Linear)
        backbone.fc = nn.Identity()
        return Encoder(backbone, 3, head.in_features, (channels, size, size))

    return build


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
