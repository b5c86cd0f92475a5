"""Shares kept at equal pruning against counting by hand and against many random orders of tied weights."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.equal_pruning import KEPT, shares_kept


def test_counts_what_stays() -> None:
    weights = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    useful = np.array([1, 1, 0, 1, 0, 0, 0, 1], dtype=np.int8)
    assert shares_kept(weights, useful) == {"useful_kept": 0.75, "useless_kept": 0.25}
    assert shares_kept(weights, useful, share=0.25) == {"useful_kept": 0.5, "useless_kept": 0.0}


def test_weights_that_say_nothing_keep_as_much_of_both() -> None:
    useful = np.array([1] * 3 + [0] * 17, dtype=np.int8)
    assert shares_kept(np.full(20, 0.4), useful, share=0.3) == {"useful_kept": 0.3, "useless_kept": 0.3}


def test_ties_fall_as_a_coin_would_let_them() -> None:
    rng = np.random.default_rng(0)
    weights, useful = rng.integers(0, 4, 40) / 4, rng.integers(0, 2, 40).astype(np.int8)
    stayed = []
    for _ in range(4000):
        order = rng.permutation(40)
        kept = order[np.argsort(-weights[order], kind="stable")][:20]
        stayed.append([np.isin(np.flatnonzero(useful == value), kept).mean() for value in (1, 0)])
    expected = dict(zip(KEPT, np.mean(stayed, axis=0), strict=True))
    assert shares_kept(weights, useful) == pytest.approx(expected, abs=0.01)
