"""Timing by parts changes no step, counts every part where it belongs, and adds up."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from bdw.training.trainer import Trainer
from benchmarks import profile_step, step_parts
from benchmarks.profile_step import Arguments, Profile
from benchmarks.step_parts import PARTS, PartClock, run_steps

CPU = torch.device("cpu")


def _trainer(folder: Path, settings: str = "BDW", preset: str = "digits") -> Trainer:
    folder.mkdir()
    return profile_step.trainer_of(Arguments(preset=preset, settings=settings, random=200), folder)


def test_a_clock_counts_a_part_within_another_for_the_inner_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 3.0, 7.0])  # outer begins, inner begins, inner ends, outer ends
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    clock = PartClock(CPU)
    with clock.part("backward"), clock.part("forward"):
        pass
    assert clock.seconds["forward"] == 2.0
    assert clock.seconds["backward"] == 1.0 + 4.0
    assert sum(clock.seconds.values()) == 7.0


def test_the_clock_changes_no_step(tmp_path: Path) -> None:
    """Across the end of an epoch, too: 200 images are four batches of 50."""
    with_clock, without = (_trainer(tmp_path / name) for name in ("with", "without"))
    run_steps(with_clock, 6, PartClock(CPU))
    run_steps(without, 6)
    for name, value in without.learner.model.state_dict().items():
        assert torch.equal(value, with_clock.learner.model.state_dict()[name]), name
    before, after = (t.learner.weighter.state_dict()["parameters"] for t in (without, with_clock))
    assert torch.equal(before, after)
    assert before.abs().sum() > 0


@pytest.mark.parametrize(
    ("preset", "settings", "absent"),
    [
        ("digits", "BDW", set()),
        ("digits", "RotNet", {"meta pass: draw", "meta pass: forward", "meta pass: backward", "tangents",
                              "weights: update"}),
        ("mnist_autoencoders", "BDW", set()),
    ],
)  # fmt: skip
def test_every_part_of_a_method_is_found(preset: str, settings: str, absent: set[str], tmp_path: Path) -> None:
    clock = PartClock(CPU)
    seconds = run_steps(_trainer(tmp_path / "run", settings, preset), 3, clock)
    assert {part for part in PARTS if clock.seconds[part] == 0.0} == absent
    assert clock.seconds.keys() == set(PARTS)
    assert sum(clock.seconds.values()) <= seconds


def test_everything_is_as_it_was_when_the_clock_is_gone(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path / "run")
    original = step_parts.train_step.weighted_update
    run_steps(trainer, 1, PartClock(CPU))
    assert step_parts.train_step.weighted_update is original
    assert "views" not in vars(trainer.learner.model.task)
    assert "step" not in vars(trainer.learner.optimiser)


def test_the_table_shows_shares_of_the_total() -> None:
    seconds = dict.fromkeys(PARTS, 0.0) | {"forward": 3.0, "gather": 0.5, "meta pass: draw": 0.5}
    found = Profile(steps=10, seconds=seconds, seconds_without_clock=3.2)
    assert found.waiting == 0.25
    lines = profile_step.table(found).splitlines()
    assert next(line for line in lines if line.startswith("forward")).split()[1:3] == ["300.000", "75.0%"]
    assert next(line for line in lines if line.startswith("total")).split() == ["total", "400.000", "100.0%"]
    assert "without the clock 320.000 ms a step (the clock adds 25.0%)" in lines


def test_a_trace_names_the_parts(tmp_path: Path) -> None:
    profile_step.write_trace(_trainer(tmp_path / "run"), tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    assert set(PARTS) <= {event["name"] for event in events}
