"""Differences to plain training against seconds, by hand."""

from __future__ import annotations

import numpy as np

from benchmarks.studies import whole_run_curves
from benchmarks.whole_run import ROTNET


def test_curves_are_differences_to_plain_trainings_end_on_the_same_seed() -> None:
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
    np.testing.assert_allclose(found[ROTNET], [[1, 0, 0]], atol=1e-12)
    # Student's factor for two seeds at 95 % is 12.706; the differences are -40 and -40, then -20 and -20.
    np.testing.assert_allclose(found["BDW"], [[0.3, -40, 0], [0.5, -20, 0]], atol=1e-12)
    runs[3] = run("BDW", 1, [(4, 1, 0.2), (8, 0.5, 0.5)])
    np.testing.assert_allclose(whole_run_curves.curves(runs)["BDW"][0], [0.3, -45, 12.7062047 * 5], rtol=1e-6)
    assert np.isnan(whole_run_curves.curves(runs[:2])["BDW"][:, 2]).all()
