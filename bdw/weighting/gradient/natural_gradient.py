"""Which instances' gradients point where the target's does, where all instances' gradients do not point anyway.

Gradients of a head have large components that every image shares (its features' mean, the commonest mistakes), and an
inner product with the target's gradient v is mostly about them. Influence functions (Koh and Liang, "Understanding
black-box predictions via influence functions", ICML 2017) compare in the metric of the curvature, <F^-1 v, g_i>: v
becomes the natural gradient (Amari, "Natural gradient works efficiently in learning", 1998), F being the empirical
Fisher matrix, the mean of g g^T over instances. Of g_i only its direction counts, as in a cosine: images that are
learnt already have small gradients, whatever they are worth. For a linear head, whose gradients are sums of errors
times features and need no pass of their own. Not in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from bdw.parallel import collectives
from bdw.pretext import PretextTask, Views

MEMORY = 1000.0
"""Instances after which a visit counts 1/e in the Fisher matrix."""
DAMPING = 0.1
"""What is added to the Fisher matrix's diagonal, in means of it: 0.01 does as well on mixtures, 1 worse."""

_WEIGHT, _BIAS = "head.weight", "head.bias"


class NaturalDirection:
    """The running Fisher matrix of a head of p parameters, p x p numbers; alike on every worker."""

    def __init__(self, device: torch.device | None = None) -> None:
        """`device`: where a state is loaded to; where it lies if None."""
        self._device = device
        self._squares = torch.empty(0, 0)
        """Sum of g g^T over visits, older ones counting less; F but for a factor, which nothing here depends on."""

    def derivatives(self, gradients: Tensor, direction: Tensor) -> Tensor:
        """<u, g_i / |g_i|> (m,) of this worker's gradients (m, p) of a step for the meta-loss's gradient (p,).

        u is F^-1 v as long as v is. Every worker calls it; the step's own gradients count in F. An instance without a
        gradient says 0, and where a gradient of any worker is not finite, all say NaN.
        """
        instances = collectives.total(torch.tensor(float(len(gradients)), dtype=torch.float64))
        decay = math.exp(-float(instances) / MEMORY)
        squares = collectives.total(gradients.T @ gradients)
        if not bool(squares.isfinite().all()):
            return torch.full_like(gradients[:, 0], math.nan)
        self._squares = squares if self._squares.numel() == 0 else self._squares.mul(decay).add_(squares)
        fisher = self._squares.clone()
        damping = DAMPING * float(fisher.diagonal().mean())
        if damping == 0:
            return torch.zeros_like(gradients[:, 0])
        fisher.diagonal().add_(damping)
        natural = torch.cholesky_solve(direction.unsqueeze(1), torch.linalg.cholesky(fisher)).squeeze(1)
        tiny = torch.finfo(natural.dtype).tiny
        natural = natural * (direction.norm() / natural.norm().clamp(min=tiny))
        # By the largest number first: squares of the gradients of images learnt by heart leave float32's range.
        units = gradients / gradients.abs().amax(dim=1, keepdim=True).clamp(min=tiny)
        found: Tensor = units @ natural / units.norm(dim=1).clamp(min=tiny)
        return found

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from, bit for bit."""
        return {"squares": self._squares}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        self._squares = state["squares"].to(self._device).clone()


def head_gradients(task: PretextTask, features: Tensor, views: Views, head: Mapping[str, Tensor]) -> Tensor:
    """grad L_i (m, p) of the parameters of a task that `has_linear_head`, which it had when it saw features
    (m * views, d).

    Rows are laid out as `flat` does it.
    """
    outputs = functional_call(task, dict(head), (lambda _: features, views))
    answers = outputs.z[0].detach().requires_grad_()
    (errors,) = torch.autograd.grad(task.losses(outputs._replace(z=(answers,))).sum(), answers)
    inputs = functional.pad(features, (0, 1), value=1.0) if _BIAS in head else features
    shape = (len(views.images), -1)
    errors, inputs = errors.unflatten(0, shape), inputs.unflatten(0, shape)
    return torch.einsum("ivo,ivd->iod", errors, inputs).flatten(1)


def flat(head: Mapping[str, Tensor]) -> Tensor:
    """Values (p,) of a linear head's parameters, the bias as the weight's last column."""
    columns = [head[_WEIGHT], *([head[_BIAS].unsqueeze(1)] if _BIAS in head else [])]
    return torch.cat(columns, dim=1).flatten()


def has_linear_head(task: PretextTask) -> bool:
    """Whether all that a task trains is a linear layer of the name `head`, whose outputs are Z."""
    trained = {name for name, value in task.named_parameters() if value.requires_grad}
    return isinstance(getattr(task, "head", None), nn.Linear) and trained <= {_WEIGHT, _BIAS}
