"""Weights by likeness to the target (NN-Weighter of the paper, after Peng et al. 2019): w_i = exp(-beta d_i).

d_i is the squared Euclidean distance in pixel space from source image i to the nearest of the target's training
images. The paper's text says distance; the authors' code takes the square, and so do we. Pixels run from 0 to 1, as in
their code, over all channels and without normalisation. They search approximately (HNSW); we exactly.

A distance grows with the number of pixels, so one beta cannot suit two image sizes, and the literature's are tuned.
Our default is 1 / median_i d_i over the source images that the target does not hold itself (d_i > 0): the image in the
middle weighs exp(-1) = 0.37, at every size.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import WeighterConfig
from bdw.data import Problem
from bdw.errors import InputError
from bdw.weighting.selection.nearest_distances import cached_nearest_distances, nearest_distances
from bdw.weighting.selection.protocol import Acts, Toolkit


@dataclass(frozen=True)
class NearestNeighbour:
    """exp(-beta d_i); the distances are kept in the cache folder."""

    beta: float | None
    """None for 1 / median d."""
    acts: ClassVar[Acts] = Acts.IN_LOSS

    @classmethod
    def from_config(cls, config: WeighterConfig) -> Self:
        """With the config's `nearest_beta`."""
        return cls(config.nearest_beta)

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """From the source's and the target's pixels; `InputError` if their images are not of one shape."""
        source, target = problem.source, problem.target_images
        if source.images.shape[1:] != target.shape[1:]:
            raise InputError(
                "weighter: 'nearest-neighbour' compares pixels, but the source's images are "
                f"{' x '.join(map(str, source.images.shape[1:]))} and the target's "
                f"{' x '.join(map(str, target.shape[1:]))} (channels x height x width); allowed: one shape"
            )
        progress = functools.partial(toolkit.progress, "distances to the target, images") if toolkit.progress else None

        def compute(images: NDArray[np.uint8], targets: NDArray[np.uint8]) -> NDArray[np.float64]:
            return nearest_distances(images, targets, toolkit.device, progress)

        return weights_of(cached_nearest_distances(source, target, toolkit.cache_dir, compute), self.beta)


def weights_of(distances: NDArray[np.float64], beta: float | None) -> NDArray[np.float64]:
    """exp(-beta d) (n,) of squared distances (n,); see the module for the default of beta.

    `InputError` if beta is so large that every weight vanishes in floating point.
    """
    if beta is None:
        apart = distances[distances > 0]
        beta = 1 / float(np.median(apart)) if len(apart) else 1.0
    weights: NDArray[np.float64] = np.exp(-beta * distances)
    if not weights.any():
        raise InputError(
            f"nearest_beta: {beta} makes every weight 0 (the smallest squared distance is {distances.min():g}); "
            f"allowed: smaller numbers, or none for 1 / median distance = {1 / float(np.median(distances)):g}"
        )
    return weights
