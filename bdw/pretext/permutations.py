"""Permutations that are far from each other, for puzzles."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

SEED = 0


@functools.cache
def distant_permutations(count: int, items: int) -> NDArray[np.int64]:
    """`count` different permutations of `items` things, (count, items), always the same.

    Each is one of those with the largest mean Hamming distance from all before it (Noroozi and Favaro 2016, algorithm
    1). That mean falls with the number of earlier permutations that have the same thing in the same place, so the
    next one solves a linear assignment problem; the paper searches all `items`! instead. Ties are broken at random, by
    a fixed seed. Where 70 draws in a row find none of the farthest that is still free, a nearer one may come next.
    """
    draws = np.random.default_rng(SEED)
    taken = np.zeros((items, items))
    found: dict[bytes, NDArray[np.int64]] = {}
    noise = 0.5 / items  # all of it together is less than one place in common
    while len(found) < count:
        _, permutation = linear_sum_assignment(taken + noise * draws.random(taken.shape))
        if permutation.tobytes() in found:
            noise *= 1.01
            continue
        found[permutation.tobytes()] = permutation
        taken[np.arange(items), permutation] += 1
        noise = 0.5 / items
    return np.stack(list(found.values()))
