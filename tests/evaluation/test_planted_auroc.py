"""The AUROC against its definition: the share of (useful, junk) pairs that the weights put in order."""

from __future__ import annotations

import math

import numpy as np

from bdw.evaluation.planted_auroc import planted_auroc


def test_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    planted = rng.integers(-1, 2, 60).astype(np.int8)
    weights = rng.integers(0, 6, 60) / 6  # with ties
    useful, junk = weights[planted == 1], weights[planted == 0]
    pairs = [1.0 if u > j else 0.5 if u == j else 0.0 for u in useful for j in junk]
    assert math.isclose(planted_auroc(weights, planted), np.mean(pairs))


def test_says_nothing_where_there_is_nothing_to_say() -> None:
    weights = np.array([0.1, 0.2])
    assert math.isnan(planted_auroc(weights, None))
    assert math.isnan(planted_auroc(weights, np.array([-1, -1], dtype=np.int8)))
    assert math.isnan(planted_auroc(weights, np.array([1, 1], dtype=np.int8)))
    assert math.isnan(planted_auroc(np.array([0.5, 0.5]), np.array([0, 1], dtype=np.int8)))
