"""The gradient of the meta-loss with respect to instance weights (docs/design.md, section 2; the paper's Eq. 4 to 6).

With theta' = theta - alpha * (momentum and weight decay terms + (1/k) sum_i w_i grad L_i(theta)),

    dL_meta/dw_i = -(alpha / k) <v, grad L_i(theta)>,   v = grad L_meta(theta'),

and all k inner products are the tangent of the vector (L_1, ..., L_k) along v: one forward-mode pass, no graph of the
update, no second derivatives. For any other loss L(Z, w) of the model's outputs Z, dZ being their tangent along v,

    dL_meta/dw = -alpha d/dw <grad_Z L(Z, w), dZ>,

which needs a graph of the loss on Z alone.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from bdw.weighting.gradient.forward_mode_rules import ForwardModeRules

# torch loads these at the first dual tensor of a process, with a warning about its own use of torch.jit.script that no
# user of ours can act on; loading them here keeps it away from them.
with warnings.catch_warnings(), contextlib.suppress(ImportError):
    warnings.simplefilter("ignore", FutureWarning)
    import torch._decomp.decompositions_for_jvp

Parameters = Mapping[str, Tensor]


def instance_directional_derivatives(
    instance_losses: Callable[[dict[str, Tensor]], Tensor],
    params: Parameters,
    direction: Parameters,
    kept: Iterable[Tensor | None] = (),
) -> Tensor:
    """All <direction, grad L_i(params)> by one forward-mode pass.

    Args:
        instance_losses: maps a dict of parameters to the losses (k,). It must not write to tensors that it captures
            (see `encoders.untouched_statistics` for batch norm).
        params: where to differentiate.
        direction: v, a dict like `params`; a missing name stands for a zero block, which costs nothing.
        kept: what is known of the convolutions' values (`ConvCache` of an earlier call of `instance_losses`).

    Returns:
        (k,) derivatives without graph; zeros if the losses do not depend on any parameter in `direction`.
    """
    ((losses, tangents),) = tangents_along(direction, lambda at: (instance_losses(at),), params, kept)
    if losses.dim() != 1:
        raise ValueError(f"instance_losses must return a vector (k,), not a tensor of shape {tuple(losses.shape)}")
    return torch.zeros_like(losses) if tangents is None else tangents.clone()


def tangents_along(
    direction: Parameters,
    outputs: Callable[[dict[str, Tensor]], Sequence[Tensor]],
    params: Parameters,
    kept: Iterable[Tensor | None] = (),
) -> list[tuple[Tensor, Tensor | None]]:
    """Every output at `params` and its tangent along `direction`, without graph; None for an output that stays.

    One forward-mode pass; the arguments are those of `instance_directional_derivatives`.
    """
    unknown = set(direction) - set(params)
    if unknown:
        raise KeyError(f"direction names parameters that are not in params: {sorted(unknown)}")
    # Dual tensors instead of torch.func.jvp: the same numbers, about a tenth less time in eager mode.
    with torch.no_grad(), forward_ad.dual_level(), ForwardModeRules(kept):
        duals = {
            name: forward_ad.make_dual(value.detach(), direction[name]) if name in direction else value.detach()
            for name, value in params.items()
        }
        pairs = [forward_ad.unpack_dual(output) for output in outputs(duals)]
        return [(value.detach(), None if tangent is None else tangent.detach()) for value, tangent in pairs]


def weight_derivatives(
    loss: Callable[[list[Tensor], Tensor], Tensor], pairs: Sequence[tuple[Tensor, Tensor | None]], weights: Tensor
) -> Tensor:
    """d/dw <grad_Z L(Z, w), dZ> (k,) of any loss L of Z and weights (k,), given Z and dZ as `tangents_along` has them.

    A tensor without a tangent stays constant.
    """
    weights = weights.detach().requires_grad_()
    with forward_ad.dual_level():
        z = [value if tangent is None else forward_ad.make_dual(value, tangent) for value, tangent in pairs]
        moved = forward_ad.unpack_dual(loss(z, weights)).tangent
        if moved is None or not moved.requires_grad:
            return torch.zeros_like(weights)
        (result,) = torch.autograd.grad(moved, weights, materialize_grads=True)
    return result


def weight_gradient(derivatives: Tensor, learning_rate: float, instances: int) -> Tensor:
    """dL_meta/dw (k,) from <v, grad L_i>: the factor -alpha / k of SGD with heavy-ball momentum and weight decay.

    `instances` is k, the number of instances in the step over all workers.
    """
    return derivatives * (-learning_rate / instances)


def reference_weight_gradient(
    instance_losses: Callable[[dict[str, Tensor]], Tensor],
    meta_loss: Callable[[dict[str, Tensor]], Tensor],
    params: Parameters,
    weights: Tensor,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    momentum_buffers: Parameters | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """The same dL_meta/dw (k,) by double backward through the update: the slow reference of tests and benchmarks.

    `loss`: L as a function of what `instance_losses` returns (then any tensor) and of the weights; by default the
    weighted mean (1/k) sum_i w_i L_i.

    The update is torch.optim.SGD's: d = g + weight_decay * theta; buf = momentum * buf + d (buf = d in the first step,
    when `momentum_buffers` is none); theta' = theta - learning_rate * buf.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    weights = weights.detach().requires_grad_()
    losses = instance_losses(leaves)
    total = (weights * losses).sum() / len(losses) if loss is None else loss(losses, weights)
    gradients = torch.autograd.grad(total, list(leaves.values()), create_graph=True, materialize_grads=True)
    stepped = {}
    for (name, value), gradient in zip(leaves.items(), gradients, strict=True):
        step = gradient + weight_decay * value
        if momentum_buffers is not None:
            step = momentum * momentum_buffers[name] + step
        stepped[name] = value - learning_rate * step
    (result,) = torch.autograd.grad(meta_loss(stepped), weights, materialize_grads=True)
    return result
