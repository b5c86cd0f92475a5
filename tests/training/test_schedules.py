"""The learning rate against torch's own schedulers, and a warm-up by hand."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR

from bdw.config import RunConfig
from bdw.config.budget import Budget
from bdw.errors import InputError
from bdw.training.schedules import learning_rate

STEPS = 24


def of_step(config: RunConfig, step: int, steps: int = STEPS, passes: float = 1.0) -> float:
    """Of a step (from 0) of a run with so many equal steps and passes."""
    rate = config.optimiser.learning_rate
    return learning_rate(
        config.schedule, rate, passes_done=step / steps * passes, used=step / steps, used_after=(step + 1) / steps
    )


def by_torch(scheduler: LRScheduler, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def sgd(rate: float) -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)


def test_the_cosine_is_torchs() -> None:
    config = RunConfig().replace(learning_rate=0.2, schedule="cosine")
    expected = by_torch(CosineAnnealingLR(sgd(0.2), T_max=STEPS), STEPS)
    assert [of_step(config, step) for step in range(STEPS)] == pytest.approx(expected, rel=1e-12)


def test_the_cosine_is_torchs_after_the_warm_up() -> None:
    config = RunConfig().replace(learning_rate=0.2, schedule="cosine", warm_up=0.25)
    expected = by_torch(CosineAnnealingLR(sgd(0.2), T_max=18), 18)
    assert [of_step(config, step) for step in range(6, STEPS)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.1, 0.5])
def test_milestones_are_torchs_where_an_epoch_is_a_pass(gamma: float) -> None:
    """Torch counts epochs, all of whose steps have one rate."""
    config = RunConfig().replace(learning_rate=0.3, lr_milestones=(3, 5), lr_gamma=gamma)
    per_epoch = by_torch(MultiStepLR(sgd(0.3), milestones=[3, 5], gamma=gamma), 8)
    found = [of_step(config, step, passes=8.0) for step in range(STEPS)]
    assert found == pytest.approx([rate for rate in per_epoch for _ in range(3)], rel=1e-12)


def test_milestones_count_passes_and_no_short_epochs() -> None:
    """A run that keeps a quarter has eight more epochs ahead of it after the first of three passes."""
    config = RunConfig().replace(learning_rate=1.0, lr_milestones=(1, 2), budget_unit="images", epochs=3)
    budget = Budget.of(config.budget, pool=100)
    seen = [100 + 25 * epoch for epoch in range(8)]
    rates = [
        learning_rate(config.schedule, 1.0, passes_done=budget.passes_done(1 + epoch, images), used=0.0, used_after=0.1)
        for epoch, images in enumerate(seen)
    ]
    assert rates == pytest.approx([0.1] * 4 + [0.01] * 4)


@pytest.mark.parametrize("schedule", ["milestones", "constant"])
def test_a_warm_up_is_a_straight_line_that_never_is_0(schedule: str) -> None:
    config = RunConfig().replace(learning_rate=0.3, schedule=schedule, warm_up=0.5)
    found = [of_step(config, step) for step in range(STEPS)]
    assert found == pytest.approx([0.3 * min(1.0, (step + 1) / 12) for step in range(STEPS)])


def test_a_constant_rate_stays() -> None:
    config = RunConfig().replace(learning_rate=0.3, schedule="constant")
    assert {of_step(config, step) for step in range(STEPS)} == {0.3}


def test_properties_of_the_cosine() -> None:
    """It falls after the warm-up, and is within 0 and the rate asked for."""
    draw = random.Random(0)
    for _ in range(100):
        rate, warm_up = draw.uniform(1e-4, 1.0), draw.choice([0.0, draw.uniform(0, 0.9)])
        config = RunConfig().replace(learning_rate=rate, schedule="cosine", warm_up=warm_up)
        steps = draw.randint(2, 50)
        found = [of_step(config, step, steps) for step in range(steps)]
        assert all(0 < value <= rate for value in found)
        falling = [value for step, value in enumerate(found) if step / steps >= warm_up]
        assert all(a > b for a, b in itertools.pairwise(falling))
        assert learning_rate(config.schedule, rate, passes_done=0, used=1.0, used_after=1.0) == pytest.approx(
            0, abs=1e-12
        )
        half = warm_up + (1 - warm_up) / 2
        assert learning_rate(config.schedule, rate, passes_done=0, used=half, used_after=1.0) == pytest.approx(rate / 2)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_milestones_of_another_schedule_are_refused(schedule: str) -> None:
    with pytest.raises(
        InputError, match=rf"lr_milestones: \(2,\) cannot work; allowed: none with schedule '{schedule}'"
    ):
        RunConfig().replace(schedule=schedule, lr_milestones=(2,))


@pytest.mark.parametrize("warm_up", [-0.1, 1.0, math.nan])
def test_a_warm_up_is_a_part_of_the_budget(warm_up: float) -> None:
    with pytest.raises(InputError, match=r"warm_up: .* cannot work; allowed: 0 <= value < 1, a share of the budget"):
        RunConfig().replace(warm_up=warm_up)
