"""Batch norm's stand-ins for batches that are small on every worker.

group  normalises each image by itself (Wu and He, "Group normalization", ECCV 2018): instances no longer interact
sync   batch norm over the images of all workers, so that 1 x 64 images are 2 x 32 with it, too

torch's SyncBatchNorm has no forward-mode rule and does not work on a CPU; this one has sums over workers that both
backward and forward mode go through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bdw.config.encoder import Norm
from bdw.errors import InputError
from bdw.parallel import collectives

_CHANNELS_IN_GROUP = 4
_MOST_GROUPS = 32  # Wu and He's own number


def group_norm(channels: int) -> nn.GroupNorm:
    """At most 32 groups of at least four channels each, as far as their number divides."""
    groups = math.gcd(channels, max(1, min(_MOST_GROUPS, channels // _CHANNELS_IN_GROUP)))
    return nn.GroupNorm(groups, channels)


class SynchronisedBatchNorm(nn.BatchNorm2d):
    """nn.BatchNorm2d over the images of all workers, in steps that all of them make (`synchronised`).

    Names and shapes in its state are those of batch norm. Outside such a step, in evaluation mode and for one worker it
    is batch norm.
    """

    def __init__(self, *arguments: Any, **settings: Any):
        super().__init__(*arguments, **settings)
        self.behind = nn.Sequential()
        """What follows the norm at once."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalised maps (B, c, h, w); running statistics move as batch norm moves them."""
        is_alone = not _state.is_together or not self.training or collectives.size() == 1
        result: Tensor = self.behind(super().forward(input) if is_alone else self._over_workers(input))
        return result

    def _over_workers(self, input: Tensor) -> Tensor:
        wanted = input.dtype
        input = input.float() if wanted in (torch.bfloat16, torch.float16) else input
        # Counts are sums, too: workers' parts may differ by an image.
        count = collectives.total(input.new_tensor(input.numel() / input.shape[1]))
        mean = _sum_over_workers(input.sum(dim=(0, 2, 3))) / count
        centred = input - mean[:, None, None]
        variance = _sum_over_workers(centred.square().sum(dim=(0, 2, 3))) / count
        if self.track_running_stats:
            self._move(mean.detach(), (variance * (count / (count - 1))).detach())
        scale = (variance + self.eps).rsqrt()
        if not self.affine:
            return (centred * scale[:, None, None]).to(wanted)
        return (centred * (scale * self.weight)[:, None, None] + self.bias[:, None, None]).to(wanted)

    def _move(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


@contextmanager
def synchronised() -> Iterator[None]:
    """Within, all workers make the same passes, so that their norms may wait for each other."""
    before, _state.is_together = _state.is_together, True
    try:
        yield
    finally:
        _state.is_together = before


def change_norm(backbone: nn.Module, norm: Norm, encoder: str) -> None:
    """Put that norm in the place of all batch norms, in place; `InputError` for a backbone without any.

    `encoder` is the name that the error tells.
    """
    if norm == "batch":
        return
    found = [
        (parent, name, child)
        for parent in backbone.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.BatchNorm2d)
    ]
    if not found:
        raise InputError(
            f"norm: {norm!r} cannot work with encoder {encoder!r}, which has no batch norm; allowed: batch"
        )
    for parent, name, old in found:
        # timm fuses batch norm with the activation that follows it.
        behind = [each for each in (getattr(old, "drop", None), getattr(old, "act", None)) if each is not None]
        new: nn.Module
        if norm == "sync":
            new = SynchronisedBatchNorm(old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats)
            new.behind.extend(behind)
        else:
            new = group_norm(old.num_features)
            new = _ActivatedGroupNorm(new, behind) if behind else new
        setattr(parent, name, new)


class _ActivatedGroupNorm(nn.GroupNorm):
    """A class of its own, since what it puts out is not linear in its parameters."""

    def __init__(self, like: nn.GroupNorm, behind: list[nn.Module]):
        super().__init__(like.num_groups, like.num_channels)
        self.behind = nn.Sequential(*behind)

    def forward(self, input: Tensor) -> Tensor:
        activated: Tensor = self.behind(super().forward(input))
        return activated


class _State:
    is_together = False


_state = _State()


class _SumOverWorkers(torch.autograd.Function):
    """The gradient of a sum over workers is the sum of the workers' gradients, its tangent that of their tangents."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _total(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _total(gradient)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return _total(tangent)


def _total(values: Tensor) -> Tensor:
    values = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(values)
    return values


_sum_over_workers: Callable[[Tensor], Tensor] = _SumOverWorkers.apply
