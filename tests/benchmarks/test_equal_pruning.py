"""Shares kept at equal pruning against counting by hand."""

from __future__ import annotations

import numpy as np

from benchmarks.studies.equal_pruning import shares_kept


def test_counts_what_stays() -> None:
    weights = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    useful = np.array([1, 1, 0, 1, 0, 0, 0, 1], dtype=np.int8)
    assert shares_kept(weights, useful) == {"useful_kept": 0.75, "useless_kept": 0.25}
    assert shares_kept(weights, useful, share=0.25) == {"useful_kept": 0.5, "useless_kept": 0.0}
