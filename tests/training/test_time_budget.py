"""The choice that a time budget leads to: examples by hand, and properties over random costs."""

from __future__ import annotations

import dataclasses
import itertools
import random

import pytest

from bdw.config import MetaConfig, RunConfig
from bdw.errors import InputError
from bdw.training.time_budget import MARGIN, Choice, Costs, Option, choose, designs, options

# A plain step of 100 instances takes 1 s; learning adds 2 s from 100 target images and 1.2 s from 20.
COSTS = Costs(plain=0.01, learning=(2.0, 1.2), between=10.0, finish=20.0)
OPTIONS = options(1, (100, 20), 8, may_skip=True)


def _choice(seconds_left: float, *, epochs_left: int = 10, given: list[Option] = OPTIONS) -> Choice:
    return choose(COSTS, given, kept=800, steps=8, epochs_left=epochs_left, seconds_left=seconds_left / (1 - MARGIN))


def test_options_give_up_target_images_little_by_little() -> None:
    assert OPTIONS == [(1, 0), (2, 0), (4, 0), (1, 1), (8, 0), (2, 1), (4, 1), (8, 1), (0, 0)]
    assert options(3, (10,), 7, may_skip=True) == [(3, 0), (6, 0), (12, 0), (0, 0)]
    # At equal numbers of target images the option that learns in more steps goes first.
    assert options(1, (8, 4, 2), 4, may_skip=True)[:5] == [(1, 0), (1, 1), (2, 0), (1, 2), (2, 1)]


def test_a_weighter_that_must_learn_in_every_step_keeps_its_interval() -> None:
    assert options(1, (100, 40, 20), 8, may_skip=False) == [(1, 0), (1, 1), (1, 2)]


@pytest.mark.parametrize(
    ("seconds", "option", "epochs"),
    [
        # Ten epochs of 8 s of plain steps and 10 s between them, 20 s in the end, and 10 x 8 x 2 s of learning.
        (360.0, (1, 0), 10),
        (359.0, (2, 0), 10),
        (280.0, (2, 0), 10),
        (240.0, (4, 0), 10),
        (239.0, (8, 0), 10),
        (212.0, (8, 1), 10),
        (200.0, (0, 0), 10),
        (199.0, (0, 0), 9),
        (38.0, (0, 0), 1),
        (37.0, (0, 0), 0),
        (-5.0, (0, 0), 0),
    ],
)
def test_the_least_approximate_option_that_fits(seconds: float, option: tuple[int, int], epochs: int) -> None:
    choice = _choice(seconds + 1e-9)
    assert (choice.option, choice.epochs) == (option, epochs)
    if epochs:
        assert choice.seconds <= seconds + 1e-9


def test_without_skipping_the_cheapest_meta_batch_limits_the_epochs() -> None:
    given = options(1, (100, 20), 8, may_skip=False)
    assert _choice(296.0 + 1e-9, given=given)[:2] == ((1, 1), 10)
    # 27.6 s an epoch.
    assert _choice(200.0, given=given)[:2] == ((1, 1), 6)


def test_choices_are_never_worse_than_need_be_and_get_better_with_the_budget() -> None:
    draw = random.Random(0)
    for _ in range(300):
        learning = sorted((draw.uniform(0, 3) for _ in range(draw.randint(1, 4))), reverse=True)
        costs = Costs(
            plain=draw.uniform(1e-4, 1e-2),
            learning=tuple(learning),
            between=draw.choice([0.0, draw.uniform(0, 30)]),
            finish=draw.uniform(0, 30),
        )
        kept, batch, epochs = draw.randint(10, 5000), draw.randint(1, 300), draw.randint(1, 40)
        steps = -(-kept // batch)
        images = [200 // 2**i for i in range(len(learning))]
        given = options(draw.randint(1, 3), images, steps, may_skip=True)
        budgets = sorted(draw.uniform(0, 2 * epochs * costs.epoch(given[0], kept, steps)) for _ in range(8))
        choices = [
            choose(costs, given, kept=kept, steps=steps, epochs_left=epochs, seconds_left=budget) for budget in budgets
        ]
        for choice, budget in zip(choices, budgets, strict=True):
            allowed = (1 - MARGIN) * budget
            each = [epochs * costs.epoch(option, kept, steps) + costs.finish for option in given]
            if choice.epochs == epochs:
                assert choice.seconds == pytest.approx(each[given.index(choice.option)])
                assert choice.seconds <= allowed
                assert all(seconds > allowed for seconds in each[: given.index(choice.option)])
            else:
                assert min(each) > allowed
                one_more = (choice.epochs + 1) * costs.epoch(choice.option, kept, steps) + costs.finish
                assert one_more > allowed * (1 - 1e-12)
                assert choice.option == (0, 0)
        for less, more in itertools.pairwise(choices):
            assert given.index(less.option) >= given.index(more.option)
            assert less.epochs <= more.epochs


def test_meta_batches_are_halved_down_to_the_least_that_makes_sense() -> None:
    found = designs(MetaConfig(shots=5, queries=10, target_batch=64))
    assert [(c.shots, c.queries, c.target_batch) for c in found] == [(5, 10, 64), (2, 5, 32), (1, 2, 16), (1, 1, 8)]
    smallest = MetaConfig(shots=1, queries=1, target_batch=3)
    assert designs(smallest) == [smallest]
    others = {field.name for field in dataclasses.fields(MetaConfig)} - {"shots", "queries", "target_batch"}
    assert all(getattr(c, name) == getattr(found[0], name) for c in found for name in others)


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_a_positive_number_of_minutes(minutes: float) -> None:
    with pytest.raises(InputError, match=r"time_budget: .* cannot work; allowed: a positive number of minutes"):
        RunConfig().replace(**{"time_budget": minutes})
