"""SimCore (Kim, Bae and Yun, "Coreset sampling from open-set for fine-grained self-supervised learning", CVPR 2023).

The coreset S of the pool U should be near the target X: f(S) = sum_{x in X} max_{u in S} cos(x, u). For speed the
target's images are replaced by the centres of their k-means clusters (k = 100). A round takes, for every centre, the
nearest image that is left; rounds repeat on what remains until a size is reached, or until f of a round falls below
0.95 of that of the first round (the paper's stopping criterion).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import SelectorConfig
from bdw.config.selector_options import SimCoreOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.weighting.selection.kmeans import kmeans
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.selection.size import Size, weights_of
from bdw.weighting.selection.vectors import of_length_1, require_features, vectors_of

CLUSTERS = 100
"""Of the target, where it has as many images; the paper's."""


@dataclass(frozen=True)
class SimCore:
    """The images nearest to the target's centres, round by round."""

    size: Size
    features: str
    options: SimCoreOptions

    @classmethod
    def from_config(cls, config: SelectorConfig) -> Self:
        """With the config's options, of which it needs `features`; without a size it stops by itself."""
        options = config.selector_options
        return cls(Size.of(config, required=False), require_features(options, "simcore"), options)

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """1 for the chosen images (n,); `InputError` for more clusters than target images."""
        wanted, images = self.size.within(len(problem.source)), len(problem.target_images)
        clusters = min(CLUSTERS, images) if self.options.clusters is None else self.options.clusters
        if clusters > images:
            raise InputError(
                f"selector.clusters: {clusters} are more than the target's {images} training images; allowed: at most "
                f"{images}, or none"
            )
        vectors = vectors_of(problem, self.features, toolkit).of_length_1()
        centres = of_length_1(kmeans(vectors.target, clusters, toolkit.seed).centres)
        rows = coreset(centres @ vectors.pool.T, wanted, self.options.stop_below)
        return weights_of(vectors.order[rows], len(vectors.order))


def coreset(cosines: NDArray[np.float32], wanted: int | None, stop_below: float) -> NDArray[np.int64]:
    """Columns of the cosines (k, n) of centres with images, in the order of the rounds.

    Args:
        cosines: of each centre (row) with each image (column).
        wanted: as many, whatever the rounds add: of the last one the most similar; None for as many as the criterion
            leaves.
        stop_below: share of the first round's f; rounds below it are not taken. A first round is always taken.
    """
    lists = np.argsort(-cosines, axis=1, kind="stable")
    places = np.zeros(len(lists), dtype=np.int64)
    is_taken = np.zeros(cosines.shape[1], dtype=np.bool_)
    taken: list[NDArray[np.int64]] = []
    first, missing = 0.0, cosines.shape[1] if wanted is None else wanted
    while missing > 0:
        for centre, own in enumerate(lists):
            while is_taken[own[places[centre]]]:
                places[centre] += 1
        nearest = lists[np.arange(len(lists)), places]
        likeness = cosines[np.arange(len(lists)), nearest].astype(np.float64)
        # The best of a centre over the whole round is its own pick: no pick of another centre is nearer to it.
        total = float(likeness.sum())
        first = first if taken else total
        if wanted is None and taken and total < stop_below * first:
            break
        picks = np.unique(nearest)
        best = np.full(cosines.shape[1], -np.inf)
        np.maximum.at(best, nearest, likeness)
        picks = picks[np.argsort(-best[picks], kind="stable")][:missing]
        is_taken[picks] = True
        taken.append(picks)
        missing -= len(picks)
    return np.concatenate(taken)
