"""How a direction at theta' acts on the gradient g from which the optimiser made theta': the transpose of dtheta'/dg.

SGD        theta' = theta - alpha (momentum and decay + g): the direction itself, up to -alpha.
clipping   g enters as c g, c = clip_norm / |g| where |g| is larger. Exact: c (v - <v, e> e), e = g / |g|.
AdamW      the new gradient enters with the factor (1 - beta1) / (1 - beta1^t) / (sqrt(v_hat) + eps) of each parameter
           (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, Algorithm 2). That v_hat depends
           on g is left out: the *constant preconditioner* of docs/design.md, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bdw.weighting.gradient.target_gradient import Direction


class Clipping:
    """Bounds the norm of the gradient over all parameters, and remembers the last one that it shortened."""

    def __init__(self, max_norm: float):
        self._max_norm = max_norm
        self._shortened: tuple[Tensor, dict[str, Tensor]] | None = None

    def clip(self, parameters: Mapping[str, Tensor]) -> None:
        """Shorten the gradients of these parameters, by name, in place, if together they are longer than the norm.

        The host waits for the device here: whether a gradient is kept depends on its length.
        """
        self._shortened = None
        gradients = {name: value.grad for name, value in parameters.items() if value.grad is not None}
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients.values()))))
        # A norm that is not finite is left to the check of the step.
        if not bool(norm > self._max_norm) or not bool(norm.isfinite()):
            return
        factor = self._max_norm / norm
        torch._foreach_mul_(list(gradients.values()), factor)
        # Already of the norm allowed; no copy, since the optimiser lets go of them.
        self._shortened = factor, gradients

    def transposed(self, direction: Direction) -> Direction:
        """c (v - <v, e> e) of the last gradient, or the direction itself where that was short enough."""
        if self._shortened is None:
            return direction
        factor, clipped = self._shortened
        along = sum((direction[name] * clipped[name]).sum() for name in direction if name in clipped)
        share = along / self._max_norm**2
        unchanged = {name: factor * value for name, value in direction.items() if name not in clipped}
        moved = {
            name: factor * (direction[name] - share * value if name in direction else -share * value)
            for name, value in clipped.items()
        }
        return unchanged | moved

    def forget(self) -> None:
        """Let go of the gradient."""
        self._shortened = None


def before_optimiser(
    direction: Direction,
    parameters: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer,
    clipping: Clipping | None = None,
    *,
    made_step: bool = True,
) -> Direction:
    """The direction that the gradient's inner product is taken with, so that -alpha times it is dL_meta / dg.

    Args:
        direction: v at theta', by names of parameters.
        parameters: all that are trained, by name.
        optimiser: SGD or AdamW, as the step left it.
        clipping: as the step left it.
        made_step: false where theta' is a look-ahead with a gradient of 0 that the optimiser never made.

    Returns:
        the same tensors for plain SGD; a direction of more parameters where clipping turned the gradient.
    """
    if isinstance(optimiser, torch.optim.AdamW):
        factors = {name: _adamw_factor(optimiser, parameters[name], made_step=made_step) for name in direction}
        direction = {name: value * factors[name] for name, value in direction.items()}
    return direction if clipping is None or not made_step else clipping.transposed(direction)


def _adamw_factor(optimiser: torch.optim.AdamW, parameter: Tensor, *, made_step: bool) -> Tensor | float:
    """Of the new gradient in -(theta' - theta) / alpha; without a step as if a gradient of 0 came next."""
    (group,) = optimiser.param_groups
    beta1, beta2 = group["betas"]
    state = optimiser.state.get(parameter)
    if not state:
        return 1 / float(group["eps"])
    step, second_moment = float(state["step"]), state["exp_avg_sq"]
    if not made_step:
        step, second_moment = step + 1, beta2 * second_moment
    denominator = (second_moment / (1 - beta2**step)).sqrt_().add_(group["eps"])
    factor: Tensor = denominator.reciprocal_().mul_((1 - beta1) / (1 - beta1**step))
    return factor
