"""What a sweep cost, with trials that failed, and without claims about what nobody recorded."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from bdw.report.sweep_cost import SweepCost

TRIALS = pd.DataFrame(
    {
        "state": ["complete", "failed", "running"],
        "wall_seconds": [3600.0, 1800.0, None],
        "cpus": [2.0, 2.0, 2.0],
        "gpus": [0.5, 0.5, 0.5],
        "instances_seen": [1000, 500, None],
        "target_instances_seen": [10, 5, None],
    }
)


def test_what_was_reserved_is_paid_whatever_came_of_it() -> None:
    cost = SweepCost.of(TRIALS)
    assert (cost.trials, cost.cpu_hours, cost.gpu_hours) == (3, pytest.approx(3.0), pytest.approx(0.75))
    assert (cost.instances, cost.target_instances) == (1500, 15)
    line = "cost of 3 trials: 0.75 GPU-hours, 3.00 CPU-hours, 1,500 source images and 15 target images seen"
    assert str(cost) == line


def test_hours_that_nobody_recorded_are_not_claimed() -> None:
    cost = SweepCost.of(TRIALS.drop(columns=["cpus", "gpus"]))
    assert math.isnan(cost.cpu_hours)
    assert math.isnan(cost.gpu_hours)
    assert "hours" not in str(cost)
