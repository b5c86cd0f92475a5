"""Objectives follow the measure: its score in its own direction, costs always downwards."""

from __future__ import annotations

import math

import pytest

from bdw import evaluation
from bdw.errors import InputError
from sweeps.study.objective import SCORE, objective, require_known, score_alone


@pytest.mark.parametrize(("measure", "best"), [("accuracy", "maximize"), ("pretext_loss", "minimize")])
def test_the_score_goes_the_measures_way_and_costs_go_down(measure: str, best: str) -> None:
    of = evaluation.measure(measure)
    assert score_alone(of).directions == objective("accuracy", of).directions == (best,)
    traded = objective("accuracy-seconds", of)
    assert (traded.metrics, traded.directions) == ((SCORE, "wall_seconds"), (best, "minimize"))
    assert objective("accuracy-instances", of).metrics == (SCORE, "instances_seen")
    assert score_alone(of).is_single
    assert not traded.is_single


def test_values_of_a_report() -> None:
    traded = objective("accuracy-seconds", evaluation.measure("accuracy"))
    assert traded.values({SCORE: 0.5, "wall_seconds": 3, "epoch": 1}) == (0.5, 3.0)
    assert math.isnan(traded.values({SCORE: 0.5})[1])


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="objective: 'seconds' is not known"):
        require_known("seconds")
