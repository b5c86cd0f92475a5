"""k-means (scikit-learn's) as selectors use it: clusters that are not empty, drawn by a seed."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LARGE = 100_000
"""Rows from which k-means takes them in batches."""
ITERATIONS = 100


class Clusters(NamedTuple):
    """Clusters of n rows, m of which are not empty."""

    labels: NDArray[np.int64]
    """(n,) the cluster of every row, 0 to m - 1."""
    centres: NDArray[np.float32]
    """(m, d)."""


def kmeans(rows: NDArray[np.float32], count: int, seed: int) -> Clusters:
    """At most `count` clusters of rows (n, d); fewer where fewer rows are different. `count` is at most n."""
    # Slow to import, and needed by few runs.
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    if len(rows) < LARGE:
        method = KMeans(count, n_init=1, max_iter=ITERATIONS, random_state=seed)
    else:
        method = MiniBatchKMeans(count, n_init=3, random_state=seed, batch_size=max(4096, 4 * count))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
        found = method.fit(rows)
    return without_empty(found.labels_, found.cluster_centers_)


def nearest_centre(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> Clusters:
    """Every row in the cluster of the nearest of these centres; those that get no row are left out."""
    from sklearn.metrics import pairwise_distances_argmin

    return without_empty(pairwise_distances_argmin(rows, centres), centres)


def without_empty(labels: NDArray[np.integer], centres: NDArray[np.floating]) -> Clusters:
    """The clusters (m', d) that have rows, numbered anew."""
    used, numbers = np.unique(labels, return_inverse=True)
    return Clusters(numbers.astype(np.int64), centres[used].astype(np.float32))
