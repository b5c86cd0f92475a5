"""Balanced hierarchical clusters (Vo et al., "Automatic data curation for self-supervised learning: a clustering-based
approach", 2024).

Plain k-means puts most centres where most images are. Here k-means is repeated on the images next to each centre, which
makes centres spread over the support of the data (section 3.3), and again on the centres, level by level (section 3.2).
Images are then drawn evenly from the top clusters, evenly from the clusters within each, and so on (section 3.4). The
target takes no part. Half of a cluster's mean size is resampled next to each centre. Which images a lowest cluster
gives is drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import SelectorConfig
from bdw.config.selector_options import HierarchicalOptions
from bdw.data import Problem
from bdw.weighting.selection.drawing import even_shares
from bdw.weighting.selection.kmeans import Clusters, kmeans, nearest_centre
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.selection.selectors.prototypes import require_clusters
from bdw.weighting.selection.size import Size, weights_of
from bdw.weighting.selection.vectors import of_length_1, pool_vectors, require_features

HIERARCHY = 35
"""Stream of random numbers, beside those of other selectors."""


@dataclass(frozen=True)
class Hierarchical:
    """Images drawn evenly from clusters of clusters."""

    size: Size
    features: str
    options: HierarchicalOptions

    @classmethod
    def from_config(cls, config: SelectorConfig) -> Self:
        """With the config's size and `features`, which it needs, and its other options."""
        return cls(Size.of(config), require_features(config.selector_options, "hierarchical"), config.selector_options)

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """1 for the drawn images (n,); `InputError` for more clusters than images."""
        wanted = self.size.of_all(len(problem.source))
        require_clusters("selector.levels", self.options.levels[0], len(problem.source))
        pool, instances = pool_vectors(problem, self.features, toolkit)
        levels: list[NDArray[np.int64]] = []
        points = of_length_1(pool)
        for number, count in enumerate(self.options.levels):
            labels, points = spread_clusters(
                points, min(count, len(points)), self.options.resampling, toolkit.seed + number
            )
            levels.append(labels)
        rows = drawn_evenly(levels, wanted, np.random.default_rng([toolkit.seed, HIERARCHY]))
        return weights_of(instances[rows], len(instances))


def spread_clusters(rows: NDArray[np.float32], count: int, rounds: int, seed: int) -> Clusters:
    """At most `count` clusters of rows (n, d) whose centres spread over where rows are, not over how many there are."""
    found = kmeans(rows, count, seed)
    share = max(1, len(rows) // (2 * count))
    for _ in range(rounds):
        near = next_to_centres(rows, found, share)
        centres = kmeans(rows[near], min(count, len(near)), seed).centres
        found = nearest_centre(rows, centres)
    return found


def next_to_centres(rows: NDArray[np.float32], clusters: Clusters, share: int) -> NDArray[np.int64]:
    """Of every cluster the rows nearest to its centre, `share` of them or all that it has."""
    distances = np.square(rows - clusters.centres[clusters.labels]).sum(axis=1)
    order = np.lexsort((distances, clusters.labels))
    sizes = np.bincount(clusters.labels)
    within = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[within < share])


def drawn_evenly(levels: list[NDArray[np.int64]], total: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """`total` different images, drawn evenly from the clusters of the top level, evenly within each, and so on.

    `levels`: the cluster of every image, then the cluster of every cluster, from below.
    """
    sizes = [np.bincount(levels[0])]  # Images below every cluster of a level.
    for labels in levels[1:]:
        sizes.append(np.bincount(labels, weights=sizes[-1]).astype(np.int64))
    shares = even_shares(sizes[-1], total, generator)
    for level in range(len(levels) - 1, 0, -1):
        below = np.zeros(len(levels[level]), dtype=np.int64)
        for cluster, share in enumerate(shares):
            members = np.flatnonzero(levels[level] == cluster)
            below[members] = even_shares(sizes[level - 1][members], int(share), generator)
        shares = below
    found = [
        generator.choice(np.flatnonzero(levels[0] == cluster), int(share), replace=False)
        for cluster, share in enumerate(shares)
    ]
    return np.concatenate(found).astype(np.int64)
