"""Accuracy against seconds, by hand."""

from __future__ import annotations

import numpy as np

from benchmarks.studies import whole_run_curves
from benchmarks.whole_run import ROTNET


def test_curves_are_means_over_seeds_in_shares_of_plain_trainings_seconds() -> None:
    def run(method: str, seed: int, curve: list[tuple[float, float, float]]) -> dict[str, object]:
        return {"method": method, "seed": seed, "seconds": curve[-1][0], "curve": curve}

    nan = float("nan")
    runs = [
        run(ROTNET, 0, [(5, 1, nan), (10, 1, 0.5)]),
        run("BDW", 0, [(4, 1, 0.1), (6, 0.5, 0.3)]),
        run(ROTNET, 1, [(5, 1, nan), (20, 1, 0.7)]),
        run("BDW", 1, [(4, 1, 0.3), (8, 0.5, 0.5), (9, 0.5, 0.9)]),
    ]
    found = whole_run_curves.curves(runs)
    np.testing.assert_allclose(found[ROTNET], [[1, 60, 10]])
    np.testing.assert_allclose(found["BDW"], [[0.3, 20, 10], [0.5, 40, 10]])
