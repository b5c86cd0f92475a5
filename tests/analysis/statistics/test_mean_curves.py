from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import mean_curves
from analysis.errors import OptionError


def curves(runs: dict[tuple[str, str, int], list[tuple[float, float]]]) -> pd.DataFrame:
    """(method, domain, seed) -> rows of images and best score; seconds are a tenth of the images."""
    return pd.DataFrame(
        [
            {"method": method, "domain": domain, "seed": seed, "instances_seen": x, "wall_seconds": x / 10}
            | {"best_value": y}
            for (method, domain, seed), own in runs.items()
            for x, y in own
        ]
    )


def test_runs_are_straight_between_evaluations_over_the_range_of_all() -> None:
    table = curves({("a", "x", 0): [(10, 0.1), (30, 0.3), (50, 0.9)], ("a", "x", 1): [(20, 0.5), (40, 0.7)]})
    curve = mean_curves(table, cost="instances_seen")["a"]
    assert curve.cost.tolist() == [20, 30, 40]
    # At 20 the first run is half-way from 0.1 to 0.3, and at 40 from 0.3 to 0.9; the second at 30 from 0.5 to 0.7.
    assert curve.mean.tolist() == pytest.approx([(0.2 + 0.5) / 2, (0.3 + 0.6) / 2, (0.6 + 0.7) / 2])
    assert (curve.low, curve.num_domains, curve.num_runs) == (None, 1, 2)
    assert mean_curves(table, cost="wall_seconds")["a"].cost.tolist() == [2, 3, 4]


def test_a_domain_with_more_seeds_counts_no_more() -> None:
    runs = {("a", "x", seed): [(10, 0.2)] for seed in range(3)} | {("a", "y", 0): [(10, 0.6)]}
    assert mean_curves(curves(runs), cost="instances_seen")["a"].mean.tolist() == pytest.approx([0.4])


def test_bands_are_students_over_domain_means() -> None:
    ends = np.random.default_rng(0).normal(size=(7, 2))
    runs = {("a", f"d{i}", seed): [(10, ends[i, seed])] for i in range(7) for seed in range(2)}
    runs |= {("b", f"d{i}", 0): [(10, ends[i, 0])] for i in range(7)}
    curve = mean_curves(curves(runs), cost="instances_seen")["a"]
    theirs = stats.ttest_1samp(ends.mean(axis=1), 0).confidence_interval(0.95)
    assert curve.low is not None
    assert curve.high is not None
    assert (curve.low[0], curve.high[0]) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    relative = mean_curves(curves(runs), cost="instances_seen", relative_to="b")["a"]
    theirs = stats.ttest_rel(ends.mean(axis=1), ends[:, 0]).confidence_interval(0.95)
    assert relative.low is not None
    assert relative.mean[0] - relative.low[0] == pytest.approx((theirs.high - theirs.low) / 2)
    assert relative.mean[0] == curve.mean[0]


def test_runs_that_share_no_range_have_no_mean() -> None:
    assert mean_curves(curves({("a", "x", 0): [(10, 0.1)], ("a", "x", 1): [(20, 0.1)]}), cost="instances_seen") == {}


def test_options_out_of_range() -> None:
    table = curves({("a", "x", 0): [(10, 0.1)]})
    with pytest.raises(OptionError, match="allowed: instances_seen, wall_seconds"):
        mean_curves(table, cost="value")
    with pytest.raises(OptionError, match="relative_to: 'b' has no rows"):
        mean_curves(table, cost="wall_seconds", relative_to="b")
