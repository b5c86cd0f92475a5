"""Steps on trial: what they cost is told, and nothing else remains of them."""

from __future__ import annotations

import copy
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from bdw.config import RunConfig
from bdw.training import step_timing
from bdw.training.step_timing import StepSeconds, step_seconds
from bdw.training.trainer import Trainer
from bdw.weighting.step import Learner, SourceBatch, StepMeasurements
from bdw.weighting.timer import WeightingTimer


def _config(tmp_path: Path, **options: Any) -> RunConfig:
    flat = {"run_dir": str(tmp_path / "run"), "max_source": 64, "batch_size": 16, "device": "cpu", "epochs": 2}
    return RunConfig().replace(**{**flat, "shots": 2, "queries": 2, **options})


def _timed(trainer: Trainer) -> list[StepSeconds]:
    losses = [trainer.learner.meta_loss] * 2 if trainer.learner.meta_loss is not None else []
    batch = torch.arange(16)
    parts = trainer.state.step_parts
    return step_seconds(trainer.learner, parts, losses, trainer.images, batch, after_step=lambda: None)


def _state(learner: Learner) -> dict[str, Any]:
    names = ["model", "optimiser", "weighter", "randomness"]
    parts = {**{name: getattr(learner, name) for name in names}, **learner.parts()}
    return copy.deepcopy({name: part.state_dict() for name, part in parts.items()})


@pytest.mark.parametrize(
    "options",
    [
        {"weighter": "beta", "encoder": "small_resnet", "direction_momentum": 0.5, "direction_every": 2},
        {
            **{"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "shared_derivatives": True},
            **{"direction_parameters": "head", "natural_direction": True},
        },
        {
            **{"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "target_margin": 0.5},
            **{"target_statistics": "source"},
        },
        {"weighter": "l2rw"},
        {"weighter": "uniform"},
    ],
    ids=["beta", "counts", "verdicts", "l2rw", "uniform"],
)
@pytest.mark.parametrize("after_an_epoch", [False, True])
def test_trial_steps_leave_no_trace(tmp_path: Path, options: dict[str, Any], after_an_epoch: bool) -> None:
    trainer = Trainer(_config(tmp_path, **options))
    if after_an_epoch:
        next(trainer.epochs())
    before = _state(trainer.learner)
    found = _timed(trainer)
    assert len(found) == (1 if options["weighter"] == "uniform" else 2)
    assert all(step.plain > 0 for step in found)
    assert all((step.learning > 0) is (options["weighter"] != "uniform") for step in found)
    torch.testing.assert_close(_state(trainer.learner), before, rtol=0, atol=0, equal_nan=True)
    assert all(parameter.grad is None for parameter in trainer.learner.model.parameters())


def test_medians_after_a_warm_up_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A step a second late, and of the rest one that was disturbed.
    plain, now = iter([9.0, 1.0, 5.0, 2.0]), [0.0]

    def step(learner: Learner, batch: SourceBatch) -> StepMeasurements:
        now[0] += next(plain) + 0.5
        return StepMeasurements(torch.ones(len(batch.indices)), None, None, None)

    monkeypatch.setattr(step_timing, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(step_timing, "train_step", step)
    monkeypatch.setattr(WeightingTimer, "take", lambda _: 0.5)
    trainer = Trainer(_config(tmp_path))
    calls: list[int] = []
    found = step_seconds(
        trainer.learner, trainer.state.step_parts, [trainer.learner.meta_loss], trainer.images,
        torch.arange(16), after_step=lambda: calls.append(1),
    )  # fmt: skip
    assert found == [pytest.approx((2.0, 0.5))]
    assert len(calls) == 4


def test_learning_costs_what_it_does_in_the_mean_where_not_every_step_asks_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(learner: Learner, batch: SourceBatch) -> StepMeasurements:
        assert learner.alignment is not None
        gradient = learner.alignment.target_gradient
        asked.append(gradient.asks)
        something = {"v": torch.ones(1)}
        gradient.follow(something) if asked[-1] else gradient.again()
        return StepMeasurements(torch.ones(len(batch.indices)), None, None, None)

    asked: list[bool] = []
    monkeypatch.setattr(step_timing, "train_step", step)
    monkeypatch.setattr(WeightingTimer, "take", lambda _: 7.0 if asked[-1] else 1.0)
    (found, _) = _timed(Trainer(_config(tmp_path, direction_every=100)))
    assert found.learning == pytest.approx(1.06)
    assert len(asked) == 2 * 2 * (step_timing.WARM_UP + step_timing.TIMED), "as few steps, however many do not ask"
