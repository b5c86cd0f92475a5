"""Pruning by prototypes (Sorscher et al., "Beyond neural scaling laws: beating power law scaling via data pruning",
NeurIPS 2022, section 5): an image is as hard as it is far from its nearest prototype.

Prototypes are the centres of k-means on the pool's features, and the distance is the cosine distance. The target takes
no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import SelectorConfig
from bdw.config.selector_options import PrototypeOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.weighting.selection.kmeans import kmeans
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.selection.size import Size, weights_of
from bdw.weighting.selection.vectors import of_length_1, pool_vectors, require_features


@dataclass(frozen=True)
class Prototypes:
    """The easiest or the hardest images."""

    size: Size
    features: str
    options: PrototypeOptions

    @classmethod
    def from_config(cls, config: SelectorConfig) -> Self:
        """With the config's size and `features`, which it needs, and its other options."""
        return cls(Size.of(config), require_features(config.selector_options, "prototypes"), config.selector_options)

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """1 for the chosen images (n,); `InputError` for more clusters than images."""
        wanted = self.size.of_all(len(problem.source))
        require_clusters("selector.clusters", self.options.clusters, len(problem.source))
        pool, instances = pool_vectors(problem, self.features, toolkit)
        rows = of_length_1(pool)
        distances = cosine_distances(rows, of_length_1(kmeans(rows, self.options.clusters, toolkit.seed).centres))
        order = np.argsort(distances if self.options.keep == "easy" else -distances, kind="stable")
        return weights_of(instances[order[:wanted]], len(instances))


def cosine_distances(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float64]:
    """1 - cosine (n,) of rows (n, d) with the nearest of the centres (m, d), both of length 1."""
    nearest = [(rows[start : start + 4096] @ centres.T).max(axis=1) for start in range(0, len(rows), 4096)]
    return 1 - np.concatenate(nearest).astype(np.float64)


def require_clusters(field: str, clusters: int, images: int) -> None:
    """`InputError` for more clusters than the pool has images."""
    if clusters > images:
        raise InputError(
            f"{field}: {clusters:,} are more than the pool's {images:,} images; allowed: at most {images:,}"
        )
