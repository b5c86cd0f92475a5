"""Drawing images: by weights without replacement, and evenly from groups of different sizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def drawn(weights: NDArray[np.float64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """`count` different positions, each next one drawn with probabilities in the ratio of the weights (n,) that are
    left; positions of weight 0 only after all others.

    The smallest of exponential numbers divided by the weights are such a draw (Efraimidis and Spirakis, "Weighted
    random sampling with a reservoir", 2006).
    """
    with np.errstate(divide="ignore"):
        keys = generator.exponential(size=len(weights)) / weights
    return np.lexsort((generator.random(len(weights)), keys))[:count].astype(np.int64)


def even_shares(sizes: NDArray[np.int64], total: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """How many images each group of these sizes (m,) gives, `total` in all: as many as any other, or all that it has.

    The largest number b with sum_j min(b, size_j) <= total is given by each that has so many (Vo et al. 2024, section
    3.4); the rest comes from groups that have more, one each, drawn.
    """
    assert total <= sizes.sum(), "no more than there are"
    low, high = 0, int(sizes.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(sizes, middle).sum() <= total else (low, middle - 1)
    shares = np.minimum(sizes, low)
    more = np.flatnonzero(sizes > low)
    shares[generator.permutation(more)[: total - int(shares.sum())]] += 1
    return shares
