"""Forward-mode rules of three layers, exact, and cheaper than torch's own where torch has one.

torch's rule for batch norm is a dozen passes over the layer's maps, a quarter of the tangents of a ResNet. The
derivative of the normalisation x_hat is symmetric, so that the kernel which pulls a gradient back through it also
pushes a tangent forward. With y = w x_hat + b,

    dy = (d x_hat / dx) w dx + dw x_hat + db,

two fused kernels. torch's rule for a convolution convolves a tangent of zeros where the input is an image, which has
none, and cannot be told what is known of its value (`conv_cache`). torch's fused attention has no rule at all:
attention is computed by its formula here, and fused in every other pass.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode


class ForwardModeRules(TorchFunctionMode):
    """A context manager, within a `forward_ad.dual_level`, in which convolutions, batch norm and attention use these.

    Values and tangents are torch's to rounding. What has no tangent, and what a rule does not cover (batch norm by
    running statistics), is left to torch.
    """

    def __init__(self, kept: Iterable[Tensor | None] = ()):
        """`kept`: values of the first convolutions to come, in their order, None for any that is to be computed."""
        super().__init__()
        self._kept = iter(kept)

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """`func(*args, **kwargs)` by its rule, if it has one that applies."""
        if func is torch.conv2d:
            return _conv2d(*args, **(kwargs or {}), value=next(self._kept, None))
        if func is functional.batch_norm and (dual := _batch_norm(*args, **(kwargs or {}))) is not None:
            return dual
        if func is functional.scaled_dot_product_attention:
            with sdpa_kernel(SDPBackend.MATH):
                return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


# The rules name their parameters as torch does, so that they can be called by keyword.


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    x, dx = forward_ad.unpack_dual(input)
    w, dw = _unpacked(weight)
    b, db = _unpacked(bias)
    if not training or (dx is None and dw is None and db is None):
        return None
    y, mean, inverse_deviation = torch.native_batch_norm(x, w, b, running_mean, running_var, True, momentum, eps)
    parts = []
    if dx is not None:
        pushed, _, _ = torch.ops.aten.native_batch_norm_backward(
            dx, x, w, None, None, mean, inverse_deviation, True, eps, [True, False, False]
        )
        parts.append(pushed)
    if dw is not None or db is not None:
        dw = torch.zeros_like(mean) if dw is None else dw
        # The variance that gives this inverse deviation, with nothing to be added to it.
        variance = inverse_deviation.square().reciprocal()
        parts.append(torch.native_batch_norm(x, dw, db, mean, variance, False, 0.0, 0.0)[0])
    tangent = parts[0] if len(parts) == 1 else parts[0].add_(parts[1])
    dual: Tensor = forward_ad.make_dual(y, tangent)
    return dual


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *geometry: Any,
    value: Tensor | None,
    **named_geometry: Any,
) -> Tensor:
    x, dx = forward_ad.unpack_dual(input)
    w, dw = forward_ad.unpack_dual(weight)
    b, db = _unpacked(bias)
    convolved = functools.partial(_convolved, geometry, named_geometry)
    y = convolved(x, w, b) if value is None else value
    parts = [] if dx is None else [convolved(dx, w, None)]
    if dw is not None:
        parts.append(convolved(x, dw, db))
    elif db is not None:
        parts.append(db[:, None, None].expand_as(y))
    if not parts:
        return y
    dual: Tensor = forward_ad.make_dual(y, parts[0] if len(parts) == 1 else parts[0].add_(parts[1]))
    return dual


def _convolved(
    geometry: tuple[Any, ...], named_geometry: Mapping[str, Any], x: Tensor, kernel: Tensor, bias: Tensor | None
) -> Tensor:
    return torch.conv2d(x, kernel, bias, *geometry, **named_geometry)


def _unpacked(tensor: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if tensor is None else tuple(forward_ad.unpack_dual(tensor))
