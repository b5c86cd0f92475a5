"""What an epoch says of the images that it saw and of its seconds."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bdw
from bdw.config import RunConfig
from bdw.data import Problem
from bdw.runs import checkpoint
from bdw.training.trainer import iterate
from bdw.weighting.timer import WeightingTimer
from tests.training.comparison import run_in_pieces, run_to_end

NUM_SOURCE = 50


def test_counts_instances_and_target_images(config: RunConfig, problem: Problem) -> None:
    history = list(iterate(config.replace(prune=False), problem=problem))
    steps = math.ceil(NUM_SOURCE / 16)
    assert [r.instances_seen for r in history] == [NUM_SOURCE, 2 * NUM_SOURCE, 3 * NUM_SOURCE]
    assert history[-1].target_instances_seen == 3 * steps * 3 * (2 + 2)
    assert history[0].steps == steps


class _EveryLearningStepTakesTwoSeconds(WeightingTimer):
    def take(self) -> float:
        return 2.0 if super().take() else 0.0


def test_seconds_spent_on_weighting_are_counted_through_stops_in_the_middle_of_epochs(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bdw.training.build, "WeightingTimer", _EveryLearningStepTakesTwoSeconds)
    config = config.replace(meta_every=3, prune=False, resume=True)
    trainer, _ = run_in_pieces(config, problem)
    # Four steps an epoch, of which the first and the fourth learn.
    assert [report.steps for report in trainer.history] == [4, 4, 4]
    assert [report.weighting_seconds for report in trainer.history] == [4.0, 8.0, 12.0]
    assert [report.saved_seconds for report in trainer.history] == [0.0, 0.0, 0.0]


def test_what_is_pruned_is_saved_at_the_price_of_what_is_trained_on(config: RunConfig, problem: Problem) -> None:
    trainer = run_to_end(config.replace(weighter="uniform"), problem)
    assert {(report.weighting_seconds, report.saved_seconds) for report in trainer.history} == {(0.0, 0.0)}
    pruned = run_to_end(config.replace(weighter="oracle", run_dir=config.output.run_dir + "-pruned"), problem)
    seconds = np.cumsum([report.seconds for report in pruned.history])
    # Half of the images are junk: the other half cost as much.
    assert [report.saved_seconds for report in pruned.history] == pytest.approx(seconds)


def test_wall_seconds_count_checkpoints_too(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that checkpoints move by ten seconds, and everything else by next to nothing."""
    now = [0.0]
    save = checkpoint.save

    def tick() -> float:
        now[0] += 1e-6
        return now[0]

    def slow(*arguments: Any, **options: Any) -> Path:
        now[0] += 10.0
        return save(*arguments, **options)

    monkeypatch.setattr(checkpoint, "save", slow)
    monkeypatch.setattr(time, "perf_counter", tick)
    history = list(iterate(config, problem=problem))
    assert [report.wall_seconds for report in history] == pytest.approx([0, 10, 20], abs=0.01)
