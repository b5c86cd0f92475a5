"""What the growth benchmark computes, on sources of a few hundred images, and the page against its result."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import growth, growth_table, scaling_model

FLAT = {"slope": 1e-9, "intercept": 2.0, "r_squared": 0.01, "slope_error": 1e-9, "rounds": 3}
RESULT: dict[str, Any] = {
    "batch": 64,
    "step_ms": {"1000": [2.0, 2.2, 2.1], "1000000": [2.0, 2.1, 2.2]},
    "step_line": FLAT,
    "between_epochs_s": {"1000": [0.1, 0.2, 0.3], "1000000": [1.0, 1.1, 1.2]},
    "between_epochs_line": {**FLAT, "slope": 1e-6},
    "peak_bytes": {"1000": [1e6], "1000000": [135e6]},
    "peak_line": {**FLAT, "slope": 134.0, "intercept": 1e6},
    "whole_epoch_s": {"1000": 0.25},
    "predicted_epoch_s": {"1000": 0.24, "1000000": 33.9},
    "meta_batch_ms": {}, "meta_batch_line": {**FLAT, "slope": 0.01}, "parameters_ms": {}, "parameters_line": FLAT,
    "workers_ms": {"1 x 64": [2.0, 2.0], "2 x 32": [1.6, 1.6]},
    "pruning_s": {"1300000": [0.4, 0.5, 0.6]},
}  # fmt: skip


def test_a_line_through_points_on_one() -> None:
    found = growth.line({1: [5.0, 5.0], 2: [7.0, 7.0], 4: [11.0, 11.0]})
    assert (found.slope, found.intercept, found.r_squared) == pytest.approx((2.0, 3.0, 1.0))


def test_the_error_of_a_slope() -> None:
    """By hand: residuals -1, 2, -1 around 1 + 0 x; variance 6 / (3 - 2) over the squares of x, 2."""
    found = growth.line({-1: [0.0], 0: [3.0], 1: [0.0]})
    assert found.slope == pytest.approx(0.0)
    assert found.slope_error == pytest.approx(math.sqrt(6 / 2))


def test_the_section_says_what_was_measured() -> None:
    section = growth_table.section(RESULT)
    assert "1,000,000 instances it takes 1.000 times as long as with 1,000 (0.955 to 1.048" in section
    assert "standard error 1), cannot be told from 0" in section
    assert "**Pruning 1,300,000 instances** (verdicts and keep mask) takes 0.50 s (0.40 to 0.60)" in section
    assert "| peak memory, MB | instances | 134 per million | 1 | 0.0100 |" in section
    assert "| 1,000 | 2.10 (2.00 to 2.20) | 0.200 | 0.2 | 0.2 | 1.0 |" in section
    assert "| 1,000,000 | 2.10 (2.00 to 2.20) | 1.100 | 33.9 | - | 135.0 |" in section
    assert "| 2 | 32 | 1.60 (1.60 to 1.60) | 40,000 |" in section
    grows = {**RESULT, "step_line": {**FLAT, "slope": 3e-9}}
    assert "is more than two of its standard errors from 0" in growth_table.section(grows)


def test_the_page_shows_what_the_committed_result_says() -> None:
    _, rest = scaling_model.PAGE.read_text(encoding="utf-8").split(growth_table.BEGIN)
    shown, _ = rest.split(growth_table.END)
    assert shown.strip() == growth_table.section(growth_table.measured()), (
        "run `python -m benchmarks.growth_table --save`"
    )


def test_steps_and_what_lies_between_epochs_run(tmp_path: Path) -> None:
    trainer = growth.trainer_of(tmp_path / "run", 300)
    steps = growth.milliseconds_per_step({300: trainer}, steps=6, rounds=2)
    assert len(steps[300]) == 2
    assert len(growth.between_epochs(trainer, rounds=2, seed=0)) == 2
    assert len(trainer.history) == 3
    assert 64 <= trainer.mask.count < 300, "useless instances were not pruned"
    assert growth.whole_epoch(growth.trainer_of(tmp_path / "whole", 300)) > 0


def test_the_encoder_and_the_meta_batch_are_those_asked_for(tmp_path: Path) -> None:
    trainer = growth.trainer_of(tmp_path / "run", 200, per_class=3, width=8)
    assert trainer.learner.meta_loss is not None
    assert trainer.learner.meta_loss.images_per_batch == 60
    convolutions = 9 * 8 * (1 + 2 * 8 + 8 * 8)
    norms, head = 2 * (8 + 16 + 32), 4 * 32 + 4
    assert sum(p.numel() for p in trainer.learner.parameters.values()) == convolutions + norms + head
    assert all(torch.isfinite(p).all() for p in trainer.learner.parameters.values())
    growth.milliseconds_per_step({8: trainer}, steps=2, rounds=1)


def test_pruning_is_timed_on_a_table_of_which_some_goes() -> None:
    assert len(growth.pruning_seconds(2000, rounds=2, seed=0)) == 2


@pytest.mark.slow
def test_two_workers_take_turns_with_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "BASE", 200)
    assert len(growth.workers_milliseconds(2, 64, steps=2, rounds=2, seed=0)) == 2


@pytest.mark.slow
def test_memory_of_a_larger_source_is_larger() -> None:
    few, many = (growth.peak_bytes(n, 0) for n in (1000, 300_000))
    assert many > few + 300_000 * 27, "a table alone takes 27 bytes an instance"
