"""RankMe against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bdw.evaluation.rankme import EPSILON, effective_rank


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_equal_singular_values_count_themselves(rank: int) -> None:
    rng = np.random.default_rng(rank)
    left, _ = np.linalg.qr(rng.normal(size=(40, rank)))
    right, _ = np.linalg.qr(rng.normal(size=(8, rank)))
    assert effective_rank((3 * left @ right.T).astype(np.float32)) == pytest.approx(rank, rel=1e-4)


def test_two_unequal_values() -> None:
    p = np.array([3, 1]) / 4 + EPSILON
    expected = math.exp(-float((p * np.log(p)).sum()))
    assert effective_rank(np.array([[3, 0], [0, 1], [0, 0]], dtype=np.float32)) == pytest.approx(expected, rel=1e-12)


def test_features_that_are_all_zero_have_no_direction() -> None:
    assert effective_rank(np.zeros((5, 3), dtype=np.float32)) == 0.0
