"""Several runs in turn as one trial: the rows that they report together, by hand and of real runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bdw.config import RunConfig
from bdw.ray.trial import TrialPlan, run_plan
from bdw.ray.trial_group import run_in_turn, together


def row(epoch: int, share: float, score: float, **more: Any) -> dict[str, Any]:
    return {
        "epoch": epoch, "budget_share": share, "best_validation_score": score, "wall_seconds": 2.0 * epoch,
        "instances_seen": 100 * epoch, "target_instances_seen": 10 * epoch, "kept_fraction": 0.4 + 0.1 * epoch,
        "weighting_seconds": 1.0, "saved_seconds": 0.0, "best_epoch_rankme": 4.0 * epoch, **more,
    }  # fmt: skip


def test_rows_of_runs_together_by_hand() -> None:
    found = together([row(3, 1.0, 0.8), row(1, 0.25, 0.4)], 4, reference=[0.5, 0.5, 0.5, 0.5], sign=1.0)
    assert found["budget_share"] == (1 + 0.25) / 4
    assert (found["epoch"], found["wall_seconds"], found["instances_seen"]) == (4, 8.0, 400)
    assert found["best_validation_score"] == pytest.approx(0.6)
    assert found["run_scores"] == [0.8, 0.4]
    assert found["mean_gain"] == pytest.approx((0.3 - 0.1) / 2)
    assert found["kept_fraction"] == pytest.approx(0.6)
    assert found["best_epoch_rankme"] == 8.0


def test_a_lower_loss_is_a_gain() -> None:
    found = together([row(3, 1.0, 0.8)], 1, reference=[1.0], sign=-1.0)
    assert found["mean_gain"] == pytest.approx(0.2)


def test_a_run_without_a_score_yet_does_not_hide_the_others() -> None:
    assert together([row(3, 1.0, 0.8), row(1, 0.1, math.nan)], 2, None, 1.0)["best_validation_score"] == 0.8
    assert math.isnan(together([row(1, 0.1, math.nan)], 2, None, 1.0)["best_validation_score"])
    assert "mean_gain" not in together([row(1, 0.1, 0.5)], 2, None, 1.0)


@pytest.fixture
def small(tmp_path: Path) -> RunConfig:
    return RunConfig().replace(**{
        "image_size": 8, "crop_size": 8, "crop_padding": 1, "max_source": 64, "batch_size": 32, "epochs": 2,
        "ways": 5, "shots": 2, "queries": 2, "report": False, "device": "cpu", "cache_dir": str(tmp_path / "packed"),
        "monitors": ["rankme"],
    })  # fmt: skip


def plan(small: RunConfig, tmp_path: Path, seed: int, **changes: Any) -> TrialPlan:
    config = small.replace(seed=seed, run_dir=str(tmp_path / f"run-{seed}"), **changes)
    return TrialPlan(config=config.flat())


def test_real_runs_in_turn(small: RunConfig, tmp_path: Path) -> None:
    plans = [plan(small, tmp_path, seed) for seed in (0, 1)]
    rows: list[dict[str, Any]] = []
    closing = run_in_turn(plans, rows.append, [0.1, 0.2])
    assert [found["epoch"] for found in rows] == [1, 2, 3, 4]
    assert [found["budget_share"] for found in rows] == [0.25, 0.5, 0.75, 1.0]
    assert rows[-1]["instances_seen"] == 4 * 64
    assert closing["ended"]
    assert {(found["metric"], found["seed"]) for found in closing["results"]} >= {("accuracy", 0), ("accuracy", 1)}
    # Each run by itself, which is finished and hands out its rows.
    alone = [run_plan(own, lambda _: None) for own in plans]
    scores = [found["best_validation_score"] for found in alone]
    assert closing["run_scores"] == scores
    assert closing["mean_gain"] == pytest.approx((scores[0] - 0.1 + scores[1] - 0.2) / 2)
    best = [max((r for r in own), key=lambda r: r["validation_score"]) for own in (rows[:2], rows[2:])]
    assert closing["best_epoch_rankme"] == pytest.approx(sum(found["rankme"] for found in best) / 2)


def test_the_first_run_that_fails_ends_the_trial(small: RunConfig, tmp_path: Path) -> None:
    plans = [plan(small, tmp_path, 0), plan(small, tmp_path, 1, learning_rate=1e30), plan(small, tmp_path, 2)]
    closing = run_in_turn(plans, lambda _: None)
    assert closing["failure"].startswith("NonFiniteError: ")
    assert closing["failure"].endswith("(digits, seed 1)")
    assert "ended" not in closing
    assert not (tmp_path / "run-2").exists()
