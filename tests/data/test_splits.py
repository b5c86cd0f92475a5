from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdw.data import splits
from bdw.errors import InputError

many_labels = st.lists(st.integers(2, 30), min_size=1, max_size=6).flatmap(
    lambda counts: st.permutations([label for label, n in enumerate(counts) for _ in range(n)])
)


@given(many_labels, st.floats(0.05, 0.95), st.integers(0, 5))
def test_hold_out_partitions_every_class(labels: list[int], fraction: float, seed: int) -> None:
    array = np.array(labels)
    kept, held = splits.hold_out(array, fraction, seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    for label in set(labels):
        count, out = (array == label).sum(), (array[held] == label).sum()
        assert 1 <= out <= count - 1
        assert abs(out - fraction * count) <= 1


def test_hold_out_is_a_pure_function_of_labels_and_seed() -> None:
    labels = np.arange(100) % 4
    first, again, other, stream = (
        splits.hold_out(labels, 0.25, seed, stream=s)[1] for seed, s in ((3, 0), (3, 0), (4, 0), (3, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, stream)


def test_hold_out_of_one_class_ignores_the_others() -> None:
    labels = np.array([0] * 10 + [1] * 10)
    more = np.array([0] * 10 + [1] * 15)
    held, held_more = splits.hold_out(labels, 0.3, 0)[1], splits.hold_out(more, 0.3, 0)[1]
    np.testing.assert_array_equal(held[held < 10], held_more[held_more < 10])


def test_single_image_cannot_be_split() -> None:
    with pytest.raises(InputError, match="class 'dog': 1 image"):
        splits.hold_out(np.array([0, 0, 1]), 0.5, 0, ["cat", "dog"])


def test_limits_are_nested() -> None:
    labels = np.arange(60) % 3
    small, large = (set(splits.limit_per_class(labels, n, 7).tolist()) for n in (4, 9))
    assert small < large
    assert np.bincount(labels[sorted(small)]).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(splits.limit_per_class(labels, 99, 7), np.arange(60))


def test_subsets_are_nested_and_sorted() -> None:
    small, large = splits.subset(50, 5, 1), splits.subset(50, 20, 1)
    assert set(small) < set(large)
    assert (np.diff(large) > 0).all()
    np.testing.assert_array_equal(splits.subset(5, 9, 1), np.arange(5))
