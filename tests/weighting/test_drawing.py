"""Drawing by predicted usefulness: chances against closed forms, turns, state."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bdw.data.batches import local_part
from bdw.parallel import collectives
from bdw.weighting.drawing import Corrected, Drawing
from bdw.weighting.weighters.fixed import FixedWeights
from tests.workers import on_workers

USEFULNESS = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.6])
EVERY = torch.arange(len(USEFULNESS))
DRAWS = 20_000


def _drawing(count: int, floor: float = 0.25) -> Drawing:
    drawing = Drawing(len(USEFULNESS), count, floor)
    drawing.told(EVERY, USEFULNESS)
    return drawing


def _drawn(drawing: Drawing, kept: Tensor = EVERY, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [drawing.draw(kept, generator) for _ in range(DRAWS)]


def test_the_floor_and_the_share_of_usefulness() -> None:
    p = _drawing(1).probabilities(EVERY)
    expected = 0.25 / 5 + 0.75 * USEFULNESS.double() / 1.2
    torch.testing.assert_close(p, expected, rtol=1e-7, atol=0)
    assert float(p.sum()) == pytest.approx(1)
    # Of those alone that are kept.
    kept = torch.tensor([0, 3])
    torch.testing.assert_close(_drawing(1).probabilities(kept), torch.tensor([0.125, 0.875], dtype=torch.float64))


def test_all_are_alike_before_anything_is_known() -> None:
    assert torch.equal(Drawing(4, 1, 0.1).probabilities(torch.arange(4)), torch.full((4,), 0.25, dtype=torch.float64))


def test_another_order_of_the_pool_changes_nothing() -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    permuted = Drawing(5, 1, 0.25)
    permuted.told(EVERY, USEFULNESS[order])
    torch.testing.assert_close(permuted.probabilities(EVERY), _drawing(1).probabilities(EVERY)[order])


def test_one_image_is_drawn_with_its_probability() -> None:
    drawing = _drawing(1)
    found = torch.bincount(torch.cat(_drawn(drawing)), minlength=5) / DRAWS
    # Standard deviations of a share are at most 0.0035.
    torch.testing.assert_close(found.double(), drawing.probabilities(EVERY), rtol=0, atol=0.015)


def test_two_images_are_drawn_one_after_the_other_without_replacement() -> None:
    drawing = _drawing(2)
    p = drawing.probabilities(EVERY).tolist()
    pairs = [tuple(sorted(pair.tolist())) for pair in _drawn(drawing)]
    for i, j in itertools.combinations(range(5), 2):
        expected = p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j])
        assert pairs.count((i, j)) / DRAWS == pytest.approx(expected, abs=0.015)


def test_the_order_within_an_epoch_says_nothing_of_usefulness() -> None:
    first = torch.bincount(torch.stack(_drawn(_drawing(5)))[:, 0], minlength=5) / DRAWS
    torch.testing.assert_close(first, torch.full((5,), 0.2), rtol=0, atol=0.015)


def test_corrections_give_back_the_mean_over_the_pool() -> None:
    drawing, values = _drawing(2), torch.tensor([5.0, -1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    generator, found = torch.Generator().manual_seed(1), torch.zeros(DRAWS, 2, dtype=torch.float64)
    for number in range(DRAWS):
        rows = drawing.draw(EVERY, generator)
        found[number, 0] = (values[rows] / drawing.chances[rows]).sum() / len(values)
        found[number, 1] = values[rows].mean()
        assert float(drawing.corrections[rows].mean()) == pytest.approx(1)
        assert float((drawing.corrections[rows] * drawing.chances[rows]).std()) == pytest.approx(0, abs=1e-12)
    assert float(found[:, 0].mean()) == pytest.approx(
        float(values.mean()), abs=4 * float(found[:, 0].std()) / DRAWS**0.5
    )
    # Without them the mean is that of the images which drawing prefers.
    assert abs(float(found[:, 1].mean()) - float(values.mean())) > 0.1


def test_an_epoch_of_all_that_is_kept_is_every_image_once_and_uncorrected() -> None:
    drawing, kept = _drawing(9), torch.tensor([0, 2, 4])
    assert sorted(drawing.draw(kept, torch.Generator()).tolist()) == [0, 2, 4]
    assert torch.equal(drawing.corrections, torch.ones(5, dtype=torch.float64))


def test_corrected_weights_are_the_inner_ones_times_the_corrections() -> None:
    drawing = _drawing(2)
    rows = drawing.draw(EVERY, torch.Generator().manual_seed(3))
    weights = torch.tensor([0.5, 1.0, 1.5, 2.0, 2.5], dtype=torch.float64)
    sample = Corrected(FixedWeights(weights.numpy()), drawing).sample(rows, torch.Generator())
    assert torch.equal(sample.weights, weights[rows] * drawing.corrections[rows])
    assert not torch.equal(sample.weights, weights[rows])


def test_every_kept_image_has_its_turn_before_any_has_another() -> None:
    drawing, kept = Drawing(10, 3, 0.1, seed=5), torch.ones(10, dtype=torch.bool)
    kept[[2, 7]] = False
    turns = [drawing.next_to_look_at(kept, 4) for _ in range(4)]
    assert sorted(torch.cat(turns[:2]).tolist()) == [0, 1, 3, 4, 5, 6, 8, 9]
    assert torch.equal(torch.cat(turns[:2]), torch.cat(turns[2:]))
    assert len(drawing.next_to_look_at(kept, 99)) == 8


def test_derivatives_are_kept_in_root_mean_squares_of_their_epoch() -> None:
    drawing = Drawing(4, 2, 0.1)
    drawing.visited(torch.tensor([3]), torch.tensor([-3e-3]))
    drawing.visited(torch.tensor([1]), torch.tensor([1e-3]))
    drawing.end_epoch()
    size = 5**0.5
    expected = torch.tensor([torch.nan, 1 / size, torch.nan, -3 / size])
    torch.testing.assert_close(drawing.seen, expected, equal_nan=True)
    drawing.visited(torch.tensor([1]), torch.tensor([7.0]))
    drawing.end_epoch()
    assert drawing.seen[1] == 1
    assert drawing.seen[3] == expected[3]


def test_it_goes_on_from_its_state_in_the_middle_of_an_epoch() -> None:
    drawing, kept = _drawing(2), torch.ones(5, dtype=torch.bool)
    drawing.next_to_look_at(kept, 2)
    drawing.visited(torch.tensor([1]), torch.tensor([0.5]))
    again = Drawing(5, 2, 0.25)
    again.load_state_dict(drawing.state_dict())
    for each in (drawing, again):
        each.visited(torch.tensor([4, 0]), torch.tensor([0.1, -0.2]))
        each.end_epoch()
    assert torch.equal(again.usefulness, drawing.usefulness)
    torch.testing.assert_close(again.seen, drawing.seen, equal_nan=True, rtol=0, atol=0)
    assert torch.equal(again.next_to_look_at(kept, 2), drawing.next_to_look_at(kept, 2))


def test_images_that_joined_the_pool_are_unknown() -> None:
    drawing = _drawing(2)
    grown = Drawing(7, 2, 0.25)
    grown.load_state_dict(drawing.state_dict())
    assert grown.usefulness.tolist() == [*USEFULNESS.tolist(), 0, 0]
    assert grown.seen.isnan().all()


def _of_all_visits(drawn: Tensor) -> dict[str, Tensor]:
    """A drawing whose epoch was shared out; its state in the middle of the epoch and after it."""
    drawing, mine = _drawing(2), local_part(drawn, collectives.rank(), collectives.size())
    drawing.visited(mine, 0.1 * mine.double() - 0.25)
    within = drawing.state_dict()
    again = _drawing(2)
    again.load_state_dict(within)
    for each in (drawing, again):
        each.end_epoch()
    rows = drawing.draw(EVERY, torch.Generator().manual_seed(0))
    return {"seen": drawing.seen, "resumed": again.seen, "rows": rows, "corrections": drawing.corrections}


def test_two_workers_know_and_draw_what_one_does(tmp_path: Path) -> None:
    drawn = torch.tensor([4, 0, 2])
    alone = _of_all_visits(drawn)
    torch.testing.assert_close(alone["seen"], alone["resumed"], equal_nan=True, rtol=0, atol=0)
    for found in on_workers(2, tmp_path, _of_all_visits, drawn):
        for name, expected in alone.items():
            torch.testing.assert_close(found[name], expected, equal_nan=True, rtol=0, atol=0)
