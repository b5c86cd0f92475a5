"""The two rules against central differences and against torch's own forward mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional

import bdw.meta_gradient  # noqa: F401 (loads torch's rules without the warning that comes with them)
from bdw.weighting.gradient.forward_mode_rules import ForwardModeRules

X = torch.randn(5, 3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _norm(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return functional.batch_norm(x, None, None, w, b, training=True, eps=1e-3)


def _plain_norm(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return functional.batch_norm(x, None, None, training=True) * w.sum() + b.sum()


def _evaluating_norm(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return functional.batch_norm(x, torch.zeros_like(w), torch.ones_like(w), w, b, training=False)


def _conv(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    kernel = w[:, None, None, None] * _random(3, 3, 2, 2, seed=9)
    return functional.conv2d(x, kernel, b, stride=2, padding=1)


def _norm_by_keyword(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return functional.batch_norm(input=x, running_mean=None, running_var=None, weight=w, bias=b, training=True)


def _conv_by_keyword(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return functional.conv2d(input=x, weight=w[:, None, None, None] * _random(3, 3, 2, 2, seed=9), bias=b, stride=2)


@pytest.mark.parametrize("function", [_norm, _plain_norm, _evaluating_norm, _conv, _norm_by_keyword, _conv_by_keyword])
@pytest.mark.parametrize("moving", ["x", "w", "b", "xw", "wb", "xwb", ""])
def test_tangents_are_central_differences(function: Callable[..., Tensor], moving: str) -> None:
    values = {"x": X, "w": _random(3, seed=1), "b": _random(3, seed=2)}
    directions = {name: _random(*value.shape, seed=3) for name, value in values.items() if name in moving}
    with torch.no_grad(), forward_ad.dual_level(), ForwardModeRules():
        duals = {n: forward_ad.make_dual(v, directions[n]) if n in directions else v for n, v in values.items()}
        primal, tangent = forward_ad.unpack_dual(function(**duals))
    step = 1e-5
    ends = [
        function(**{n: v + sign * step * directions.get(n, torch.zeros_like(v)) for n, v in values.items()})
        for sign in (1, -1)
    ]
    torch.testing.assert_close(primal, function(**values), rtol=1e-12, atol=1e-12)
    expected = (ends[0] - ends[1]) / (2 * step)
    if not moving:
        assert tangent is None
    else:
        torch.testing.assert_close(tangent, expected, rtol=1e-7, atol=1e-8)


def test_equal_to_torchs_own_rules_in_single_precision_and_channels_last() -> None:
    x = X.float().contiguous(memory_format=torch.channels_last)
    w, b = torch.tensor([1.0, 0.0, -2.0]), torch.zeros(3)
    directions = [_random(*value.shape, seed=4).float() for value in (x, w, b)]
    found = []
    for rules in (True, False):
        with torch.no_grad(), forward_ad.dual_level():
            duals = [forward_ad.make_dual(v, d) for v, d in zip((x, w, b), directions, strict=True)]
            if rules:
                with ForwardModeRules():
                    y = _norm(*duals)
            else:
                y = _norm(*duals)
            found.append(forward_ad.unpack_dual(y))
    torch.testing.assert_close(found[0].primal, found[1].primal)
    torch.testing.assert_close(found[0].tangent, found[1].tangent)
