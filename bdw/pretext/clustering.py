"""Clusters of features as DeepCluster has them (Caron et al. 2018, section 3.3): principal components, whitened and of
length 1, and k-means on them. scikit-learn does both."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ITERATIONS = 20
"""Of k-means at most; the number of the authors' code."""
LEAST_VARIANCE = 1e-6
"""Components of a smaller share of the largest variance are rounding, which whitening would blow up."""


class Clusters(NamedTuple):
    """Clusters of n images, m of which are not empty."""

    labels: NDArray[np.int64]
    """(n,) cluster of every image, 0 to m - 1."""
    mean: NDArray[np.float32]
    """(d,) of the features."""
    whitening: NDArray[np.float32]
    """(d, p) from features less their mean to whitened components."""
    centres: NDArray[np.float32]
    """(m, p) of k-means on whitened features of length 1; every image is nearest to that of its cluster."""


def clustered(features: NDArray[np.float32], count: int, components: int, seed: int) -> Clusters:
    """Clusters of features (n, d), at most `count`.

    A cluster that gets empty on the way begins anew at the image that is farthest from its own centre, where the paper
    takes the neighbourhood of a random centre. Those that are empty at the end, since images are the same, are left
    out. Random initial centres are drawn by the seed.
    """
    # Slow to import, and needed by this task alone.
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning

    with np.errstate(invalid="ignore", divide="ignore"):  # features that are all the same have no shares of variance
        found = PCA(min(components, *features.shape), random_state=seed).fit(features)
    variances = np.nan_to_num(found.explained_variance_)
    used = variances > max(LEAST_VARIANCE * variances[0], np.finfo(np.float32).tiny)
    used[0] = True
    deviations = np.sqrt(np.maximum(variances[used], np.finfo(np.float32).tiny))
    whitening = (found.components_[used].T / deviations).astype(np.float32)
    rows = _of_length_1((features - found.mean_) @ whitening)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different images than clusters
        means = KMeans(min(count, len(rows)), init="random", n_init=1, max_iter=ITERATIONS, random_state=seed).fit(rows)
    not_empty, labels = np.unique(means.labels_, return_inverse=True)
    centres = means.cluster_centers_[not_empty].astype(np.float32)
    return Clusters(labels.astype(np.int64), found.mean_.astype(np.float32), whitening, centres)


def _of_length_1(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return scaled
