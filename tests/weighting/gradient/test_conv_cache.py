"""Kept outputs save convolutions and change no number; what was overwritten is not used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from bdw import encoders
from bdw.weighting.gradient import conv_cache
from bdw.weighting.gradient.conv_cache import ConvCache
from bdw.weighting.gradient.forward_mode import instance_directional_derivatives

IMAGES = torch.randn(6, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class _Counted(TorchFunctionMode):
    """How many convolutions are made within."""

    made = 0

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.made += func is torch.conv2d
        return func(*args, **(kwargs or {}))


def _small_resnet() -> nn.Module:
    return encoders.build("small_resnet", 3, 16)


def _overwriting() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3), nn.Flatten())


def _tangents(model: nn.Module, kept: ConvCache | tuple[()]) -> tuple[Tensor, int]:
    generator = torch.Generator().manual_seed(1)
    params = {name: value.detach() for name, value in model.named_parameters()}
    direction = {n: torch.randn(v.shape, dtype=v.dtype, generator=generator) for n, v in params.items()}
    with _Counted() as counted:
        derivatives = instance_directional_derivatives(
            lambda p: functional_call(model, p, (IMAGES,)).square().sum(dim=1), params, direction, kept
        )
    return derivatives, counted.made


@pytest.mark.parametrize(("build", "saved"), [(_small_resnet, 10), (_overwriting, 1)])
def test_the_same_tangents_with_fewer_convolutions(
    build: Callable[[], nn.Module], saved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv_cache, "WORTH_KEEPING", 0)
    torch.manual_seed(2)
    model = build().double().train()
    expected, made = _tangents(model, ())
    with ConvCache() as kept:
        model(IMAGES).square().sum().backward()
    found, fewer = _tangents(model, kept)
    assert torch.equal(found, expected)
    assert made - fewer == saved


def test_only_outputs_with_much_work_in_them_are_kept() -> None:
    """By the number of weights behind one number of the output; bias or none, by position or by name."""
    shallow, deep = torch.randn(2, 222, 3, 3), torch.randn(2, 223, 3, 3)
    with ConvCache() as kept:
        torch.conv2d(torch.randn(1, 222, 3, 3), shallow)
        torch.conv2d(input=torch.randn(1, 223, 3, 3), weight=deep, bias=torch.zeros(2))
        torch.conv2d(torch.randn(1, 446, 3, 3), deep, groups=2)
    assert [value is not None for value in kept] == [False, True, True]


def test_a_kept_output_holds_no_graph() -> None:
    kernel = torch.randn(2, 300, 3, 3, requires_grad=True)
    with ConvCache() as kept:
        output = torch.conv2d(torch.randn(1, 300, 3, 3), kernel)
    (value,) = kept
    assert value is not None
    assert not value.requires_grad
    assert torch.equal(value, output)
