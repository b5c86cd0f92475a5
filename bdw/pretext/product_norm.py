"""The size of a product of two tall or wide matrices, without the larger of the two ways to it."""

from __future__ import annotations

from torch import Tensor


def squared_norm_of_product(left: Tensor, right: Tensor) -> Tensor:
    """Sum of the squares of left^T right, a scalar, for left (k, d) and right (k, e).

    Where k is small, d x e numbers are never made: the sum is that of the element-wise product of left left^T and
    right right^T, k x k numbers each, since ||A^T B||^2 = trace(A A^T B B^T). Garrido, Chen, Bardes, Najman and LeCun,
    "On the duality between contrastive and non-contrastive self-supervised learning", ICLR 2023, use it with A = B.
    Both ways are exact; the one with fewer multiply-adds is taken.
    """
    (rows, d), (_, e) = left.shape, right.shape
    if rows * (d + e) < d * e:
        products: Tensor = (left @ left.T) * (right @ right.T)
        return products.sum()
    return (left.T @ right).square().sum()
