"""Retrieval around each target image, as LVD-142M was curated (Oquab et al., "DINOv2", 2023, section 3).

Every target image retrieves its nearest images of the pool, all of them equally many, and the union is kept. For an
exact size, the number that each retrieves grows until the union is large enough, and of the last ones the nearest stay.
Distances are Euclidean between pixels, and between features of length 1, where they order images as cosines do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import SelectorConfig
from bdw.config.selector_options import PIXELS
from bdw.data import Problem
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.selection.size import Size, weights_of
from bdw.weighting.selection.vectors import require_features, vectors_of

BLOCK = 64
"""Target images whose distances to the whole pool are in memory at once."""


@dataclass(frozen=True)
class NearestImages:
    """The images that target images retrieve."""

    size: Size
    features: str

    @classmethod
    def from_config(cls, config: SelectorConfig) -> Self:
        """With the config's size and `features`, both of which it needs."""
        return cls(Size.of(config), require_features(config.selector_options, "nearest-neighbour"))

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """1 for the retrieved images (n,)."""
        wanted = self.size.of_all(len(problem.source))
        vectors = vectors_of(problem, self.features, toolkit)
        if self.features != PIXELS:
            vectors = vectors.of_length_1()
        rows = retrieved(vectors.pool, vectors.target, wanted)
        return weights_of(vectors.order[rows], len(vectors.order))


def retrieved(pool: NDArray[np.float32], target: NDArray[np.float32], wanted: int) -> NDArray[np.int64]:
    """So many rows of the pool (n, d), in the order in which rows of the target (m, d) retrieve them.

    A row's place is the smallest rank that it has in the lists of any target row; where places are equal, the smaller
    distance goes first, then the first row.
    """
    places = np.full(len(pool), len(pool), dtype=np.int64)
    distances = np.full(len(pool), np.inf)
    # Double precision: |x - t|^2 by products cancels where the two are alike.
    wide, norms = pool.astype(np.float64), np.square(pool, dtype=np.float64).sum(axis=1)
    for start in range(0, len(target), BLOCK):
        some = target[start : start + BLOCK].astype(np.float64)
        squared = norms - 2 * some @ wide.T + np.square(some).sum(axis=1)[:, None]
        for own in squared:
            ranks = np.empty(len(pool), dtype=np.int64)
            ranks[np.argsort(own, kind="stable")] = np.arange(len(pool))
            nearer = (ranks < places) | ((ranks == places) & (own < distances))
            places[nearer], distances[nearer] = ranks[nearer], own[nearer]
    return np.lexsort((distances, places))[:wanted].astype(np.int64)
