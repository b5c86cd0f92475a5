"""The vote against scikit-learn's classifier with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from bdw.errors import InputError
from bdw.evaluation import nearest_neighbours
from bdw.evaluation.nearest_neighbours import TEMPERATURE, predict


@pytest.mark.parametrize("neighbours", [1, 7, 60])
def test_equals_scikit_learn(neighbours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_neighbours, "_BLOCK", 16)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 60)
    labelled = (rng.normal(size=(60, 5)) + labels[:, None]).astype(np.float32)
    features = rng.normal(size=(50, 5), loc=1).astype(np.float32)
    theirs = KNeighborsClassifier(
        neighbours, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / TEMPERATURE)
    ).fit(labelled.astype(np.float64), labels)
    expected = theirs.predict(features.astype(np.float64))
    np.testing.assert_array_equal(predict(labelled, labels, features, neighbours), expected)


def test_ties_go_to_the_first_neighbour_and_the_lowest_class() -> None:
    labelled = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    labels = np.array([2, 1, 0, 3])
    assert predict(labelled, labels, np.array([[5, 0]], dtype=np.float32), 1).tolist() == [2]
    assert predict(labelled, labels, np.array([[1, 1]], dtype=np.float32), 4).tolist() == [0]


def test_features_that_are_all_zero_are_like_nothing() -> None:
    labelled = np.array([[0, 0], [1, 0], [1, 0.1]], dtype=np.float32)
    predicted = predict(labelled, np.array([0, 1, 1]), np.zeros((1, 2), dtype=np.float32), 3)
    assert predicted.tolist() == [1]


def test_more_neighbours_than_images_are_refused() -> None:
    with pytest.raises(InputError, match="neighbours: 5 is more than the 4 labelled images"):
        predict(np.ones((4, 2), dtype=np.float32), np.arange(4), np.ones((1, 2), dtype=np.float32), 5)
