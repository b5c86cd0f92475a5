"""Clusters of features whose clusters are known, and of those that have none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from bdw.pretext.clustering import clustered


def _blobs(of_each: int = 30) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three blobs far apart in three directions, one of them of a hundredth of the others' scale."""
    generator = np.random.default_rng(0)
    kinds = np.repeat(np.arange(3), of_each)
    rows = np.eye(3)[kinds] + 0.02 * generator.standard_normal((len(kinds), 3))
    return (rows * [1.0, 100.0, 1.0]).astype(np.float32), kinds


def test_blobs_are_found_whatever_the_scale_of_a_feature() -> None:
    features, kinds = _blobs()
    found = clustered(features, 3, 256, seed=2)
    assert adjusted_rand_score(kinds, found.labels) == 1.0
    assert found.centres.shape == (3, found.whitening.shape[1])


def test_components_are_whitened_and_images_are_nearest_to_their_own_centre() -> None:
    features = np.random.default_rng(1).standard_normal((200, 6)).astype(np.float32) * np.arange(1, 7, dtype=np.float32)
    found = clustered(features, 4, 5, seed=0)
    white = (features - found.mean) @ found.whitening
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(5), rtol=0, atol=1e-3)
    rows = white / np.linalg.norm(white, axis=1, keepdims=True)
    distances = ((rows[:, None] - found.centres) ** 2).sum(axis=2)
    assert distances.argmin(axis=1).tolist() == found.labels.tolist()
    for cluster in range(4):
        # k-means has nearly come to rest.
        mean = rows[found.labels == cluster].mean(axis=0)
        np.testing.assert_allclose(found.centres[cluster], mean, rtol=0, atol=0.05)


def test_no_cluster_is_empty_even_if_images_are_the_same() -> None:
    features = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)
    found = clustered(features, 8, 256, seed=0)
    assert np.unique(found.labels).tolist() == [0, 1, 2, 3]
    assert len(found.centres) == 4
    assert np.isfinite(found.whitening).all()


@pytest.mark.parametrize("count", [1, 7])
def test_features_that_are_all_the_same_are_one_cluster(count: int) -> None:
    found = clustered(np.ones((count, 3), dtype=np.float32), 4, 256, seed=0)
    assert found.labels.tolist() == [0] * count
    assert np.isfinite(found.centres).all()


def test_the_seed_draws_the_first_centres() -> None:
    features = np.random.default_rng(1).standard_normal((60, 4)).astype(np.float32)
    first, again, other = (clustered(features, 9, 256, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)
