"""How long a run is: counts by hand, and simulated runs whose epochs get shorter."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from bdw.config import BudgetConfig, RunConfig
from bdw.config.budget import Budget
from bdw.config.identity import depends_on_length
from bdw.errors import InputError


def simulated(budget: Budget, kept: Iterator[int]) -> list[tuple[int, int, int, int]]:
    """Epochs as a run makes them, whole ones but for the end of the budget, in steps of one image: before each epoch
    (epochs done, images seen, kept images), and the images seen after it."""
    epochs, seen = [], 0
    for done in itertools.count():
        assert budget.images is not None
        if seen >= budget.images:
            return epochs
        size = next(kept)
        left = budget.left(seen)
        assert left is not None
        epochs.append((done, seen, size, seen + min(size, left)))
        seen = epochs[-1][-1]
    raise AssertionError


@pytest.mark.parametrize(
    ("options", "images", "passes"),
    [
        ({"epochs": 7}, None, 7),
        ({"epochs": 7, "budget_unit": "images"}, 700, 7),
        ({"epochs": 7, "budget_unit": "images", "budget_images": 250}, 250, 2.5),
        ({"epochs": 7, "budget_images": 250}, 250, 2.5),
    ],
)
def test_a_config_says_it_in_epochs_or_images(options: dict[str, object], images: int | None, passes: float) -> None:
    budget = Budget.of(BudgetConfig(**options), pool=100)  # type: ignore[arg-type]
    assert (budget.pool, budget.epochs, budget.images) == (100, 7, images)
    assert budget.passes == passes


def test_counted_in_epochs_it_is_what_it_always_was() -> None:
    """Images play no part, however many were kept."""
    budget = Budget(pool=100, epochs=4, images=None)
    assert budget.left(123) is None
    assert {budget.last_epoch(done, seen, kept) for done in range(5) for seen in (0, 9) for kept in (1, 50)} == {4}
    assert [budget.share(done, 17) for done in range(5)] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert budget.share(1, 17, within=0.5) == 0.375
    assert [budget.passes_done(done, 17) for done in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("every", [1, 2, 3])
def test_counted_in_epochs_every_so_many_are_due(every: int) -> None:
    budget = Budget(pool=100, epochs=12, images=None)
    due = [epoch for epoch in range(1, 13) if budget.is_due(every, (epoch - 1, 0), (epoch, 30))]
    assert due == [epoch for epoch in range(1, 13) if epoch % every == 0]


def test_a_run_that_keeps_a_half_makes_as_many_short_epochs_as_fit() -> None:
    budget = Budget(pool=100, epochs=4, images=400)
    assert budget.last_epoch(0, 0, 100) == 4
    # 100 images in the first epoch, then 300 left for epochs of 50.
    assert budget.last_epoch(1, 100, 50) == 7
    # 70 at a time the last of five has 20 images.
    assert budget.last_epoch(1, 100, 70) == 6
    assert budget.left(380) == 20
    assert budget.left(401) == 0
    assert budget.last_epoch(6, 400, 70) == 6


def test_properties_of_random_runs() -> None:
    draw = random.Random(0)
    for _ in range(300):
        pool = draw.randint(1, 500)
        budget = Budget(pool, draw.randint(1, 9), draw.randint(1, 5 * pool))
        assert budget.images is not None
        sizes = (draw.randint(1, pool) for _ in itertools.count())
        epochs = simulated(budget, sizes)
        guesses = [budget.last_epoch(done, seen, kept) for done, seen, kept, _ in epochs]
        assert all(guess > done for guess, (done, *_) in zip(guesses, epochs, strict=True))
        # Nothing but the last epoch is taken for it, and it is once it has begun.
        assert [guess == done + 1 for guess, (done, *_) in zip(guesses, epochs, strict=True)] == [
            *[False] * (len(epochs) - 1),
            True,
        ]
        assert budget.last_epoch(len(epochs), epochs[-1][-1], 1) == len(epochs)
        shares = [budget.share(done, seen) for done, seen, _, _ in epochs]
        assert shares == sorted(shares)
        assert shares[0] == 0
        assert max(shares) < 1
        assert budget.share(len(epochs), epochs[-1][-1]) == 1
        # More than all is all.
        assert budget.share(len(epochs), epochs[-1][-1] + pool) == 1


@pytest.mark.parametrize("every", [1, 2, 3])
def test_short_epochs_make_nothing_due_more_often_than_whole_ones(every: int) -> None:
    """By hand: at the ends of the epochs within which a multiple of so many passes was completed."""
    draw = random.Random(1)
    for _ in range(100):
        pool = draw.randint(20, 100)
        budget = Budget(pool, 12, 12 * pool)

        def due(kept: Iterator[int], budget: Budget = budget) -> int:
            return sum(
                budget.is_due(every, (done, seen), (done + 1, after))
                for done, seen, _, after in simulated(budget, kept)
            )

        whole = due(itertools.repeat(pool))
        assert whole == 12 // every
        assert due(draw.randint(1, pool) for _ in itertools.count()) == whole


@pytest.mark.parametrize("every", [0.1, 0.2, 0.5])
def test_shares_of_a_pass_are_due_at_each_of_their_multiples(every: float) -> None:
    """Epochs of a tenth of the pool, counted in whole tenths."""
    budget = Budget(pool=100, epochs=3, images=300)
    due = [tenth for tenth in range(1, 31) if budget.is_due(every, (tenth - 1, 10 * (tenth - 1)), (tenth, 10 * tenth))]
    assert due == [tenth for tenth in range(1, 31) if tenth % round(10 * every) == 0]


def test_what_depends_on_a_runs_length() -> None:
    assert depends_on_length(RunConfig()) == []
    assert depends_on_length(RunConfig().replace(schedule="constant", lr_milestones=())) == []
    config = RunConfig().replace(schedule="cosine", warm_up=0.1, learn_share=0.5)
    assert depends_on_length(config) == ["schedule 'cosine'", "warm_up 0.1", "learn_share 0.5"]


def test_less_than_a_batch_is_no_budget() -> None:
    assert RunConfig().replace(batch_size=64, budget_images=64).budget.budget_images == 64
    with pytest.raises(
        InputError, match=r"budget_images: 63 cannot work; allowed: at least one batch, batch_size = 64"
    ):
        RunConfig().replace(batch_size=64, budget_images=63)
