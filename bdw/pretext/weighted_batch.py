"""Losses of a whole batch, in which every instance counts by its share of the batch's weight."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def weighted_batch_loss(of_shares: Callable[[Tensor], Tensor], weights: Tensor) -> Tensor:
    """L(w) = mean(w) f(w / sum(w)), a scalar, from f = `of_shares` and the weights (k,) of all workers' instances.

    With all weights 1 it is f of equal shares, the loss of the method's paper. As with a weighted mean, L grows with
    the weights: L(c w) = c L(w). Where all weights are 0, the shares are unknown. L is then continued along equal
    weights, L(w + 1) - L(1). It is 0, and so is its gradient in Z, up to rounding; its derivatives in w are those at
    equal weights, which are the same for equal weights of any size.
    """

    def loss(at: Tensor) -> Tensor:
        total = at.sum()
        return total / len(at) * of_shares(at / total)

    # Read by the host: the other branch is rare, and costs the matrix a second time.
    if bool((weights > 0).any()):
        return loss(weights)
    ones = torch.ones_like(weights)
    return loss(weights + ones) - loss(ones)


def weighted_moments(rows: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (k, d) less their weighted mean, and their weighted variances (d,); shares (k,) with the sum 1."""
    centred = rows - shares @ rows
    return centred, shares @ centred.square()
