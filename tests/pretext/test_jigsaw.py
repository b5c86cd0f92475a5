"""Jigsaw puzzles: which orders there are, what the tiles are, and the loss against the paper's classifier, puzzle by
puzzle."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from bdw import encoders
from bdw.config.pretext_options.jigsaw import JigsawOptions
from bdw.errors import InputError
from bdw.pretext import Images
from bdw.pretext.jigsaw import Jigsaw, standardised
from bdw.pretext.permutations import distant_permutations
from tests.pretext.cases import CASES, small_encoder
from tests.pretext.models import as_stored, views_of


def _task(side: int = 30, channels: int = 3, **options: object) -> Jigsaw:
    small = {"permutations": 5, "tile_dim": 4, "hidden_dim": 6}
    return Jigsaw(small_encoder(channels, side, "group"), JigsawOptions(**{**small, **options}))


def _distances(permutations: np.ndarray) -> np.ndarray:
    return (permutations[:, None] != permutations[None]).sum(axis=2)


def test_every_permutation_is_as_far_from_those_before_it_as_any() -> None:
    """Algorithm 1 of the paper, by its search through all permutations."""
    found = distant_permutations(30, 5)
    everything = np.array(list(itertools.permutations(range(5))))
    for number in range(1, len(found)):
        before = found[:number]
        free = np.array([row for row in everything if not (before == row).all(axis=1).any()])
        farthest = (free[:, None] != before[None]).sum(axis=(1, 2)).max()
        assert (found[number] != before).sum() == farthest


def test_permutations_are_different_and_farther_apart_than_chance() -> None:
    found = distant_permutations(1000, 9)
    assert (np.sort(found, axis=1) == np.arange(9)).all()
    pairs = _distances(found)[np.triu_indices(1000, 1)]
    assert pairs.min() >= 2
    # Each place holds eight tiles 111 times and one 112 times. No mean is larger.
    assert pairs.mean() == pytest.approx(9 - 9 * (8 * 111 * 110 + 112 * 111) / (1000 * 999), rel=1e-12)
    assert _distances(distant_permutations(9, 9))[np.triu_indices(9, 1)].tolist() == [9] * 36
    assert len(np.unique(distant_permutations(24, 4), axis=0)) == 24, "all that there are"


def test_tiles_lie_in_their_cells() -> None:
    side = 30
    rows, columns = torch.meshgrid(torch.arange(side + 4), torch.arange(side + 4), indexing="ij")
    images = torch.stack([rows, columns, rows]).to(torch.uint8).expand(300, 3, side + 4, side + 4)
    task = _task(side, tile=0.8, colour_shift=0, grey=0.0)
    tiles = task._tiles(images, torch.zeros(300, dtype=torch.bool), torch.Generator().manual_seed(0))
    places = tiles.unflatten(0, (300, 9))[:, :, :2, 0, 0].long()
    cells = 10 * torch.tensor([(row, column) for row in range(3) for column in range(3)])
    moved = places - cells
    # The window's corner, 0 to 4, and 0 to 2 within the cell.
    assert (int(moved.min()), int(moved.max())) == (0, 6)
    assert int((moved.amax(dim=1) - moved.amin(dim=1)).max()) == 2


def test_channels_of_coloured_images_are_shifted_within_the_image() -> None:
    side = 30
    rows = torch.arange(side, dtype=torch.uint8)[:, None].expand(side, side)
    images = torch.stack([rows, rows, rows]).expand(400, 3, side, side)
    task, is_grey = _task(side, tile=0.8, colour_shift=2), torch.arange(400) % 2 == 0
    first = task._tiles(images, is_grey, torch.Generator().manual_seed(0)).unflatten(0, (400, 9))[..., 0, 0].long()
    apart = first[..., 1] - first[..., 0]
    assert bool((apart[is_grey] == 0).all())
    assert (int(apart[~is_grey].min()), int(apart[~is_grey].max())) == (-4, 4)
    assert (int(first.min()), int(first.max())) == (0, side - 8)


def test_tiles_are_standardised_and_an_even_one_is_not_blown_up() -> None:
    model = CASES["jigsaw"].model()
    tiles, orders = views_of(model, CASES["jigsaw"].images(7)).inputs
    torch.testing.assert_close(tiles.mean(dim=(2, 3)), torch.zeros(63, 3).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(tiles.std(dim=(2, 3), correction=0), torch.ones(63, 3).double())
    assert orders.shape == (7,)
    assert bool((standardised(torch.full((1, 3, 4, 4), 0.7)).abs() < 1e-4).all())


def test_grey_images_have_one_level_in_all_channels() -> None:
    images = torch.randint(256, (4, 3, 30, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    tiles, _ = _task(grey=1.0).views(images, as_stored, torch.Generator()).inputs
    torch.testing.assert_close(tiles[:, 0], tiles[:, 1])
    torch.testing.assert_close(tiles[:, 0], tiles[:, 2])


def test_an_instances_loss_is_that_of_its_shuffled_tiles() -> None:
    model = CASES["jigsaw"].model()
    views = views_of(model, CASES["jigsaw"].images(4))
    outputs, (tiles, orders) = model(views), views.inputs
    task = model.task
    for i in range(4):
        puzzle = [tiles[9 * i + tile][None] for tile in task.permutations[orders[i]].tolist()]
        joined = torch.cat([task.tile_head(model.encoder(tile)) for tile in puzzle], dim=1)
        logits = task.head(joined)[0].tolist()
        right = math.exp(logits[int(orders[i])]) / sum(map(math.exp, logits))
        assert float(task.losses(outputs)[i].detach()) == pytest.approx(-math.log(right), rel=1e-10)
        assert float(outputs.hits[i]) == (max(logits) == logits[int(orders[i])])


def test_images_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(InputError) as error:
        _task(30).check(Images(3, 40, 28))
    assert str(error.value) == (
        "crop_size: 30 cannot work with pretext 'jigsaw', which cuts tiles from images of 40 x 28 pixels; allowed: at "
        "most 28"
    )
    _task(30).check(Images(3, 30, 30))


@pytest.mark.parametrize("name", ["small_vit", "mlp"])
def test_an_encoder_that_wants_whole_images_is_refused(name: str) -> None:
    with torch.device("meta"):
        encoder = encoders.build(name, 3, 32)
        with pytest.raises(InputError, match=r"pretext.tile: 0.85\d* cannot work: encoder .* patches of 9 x 9 pixels"):
            Jigsaw(encoder)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("permutations", 1, "2 to 10,000"),
        ("permutations", 10_001, "2 to 10,000"),
        ("tile", 0.0, "above 0, at most 1"),
        ("colour_shift", -1, "at least 0"),
        ("grey", 1.5, "0 to 1"),
        ("tile_dim", 0, "at least 1"),
        ("hidden_dim", 0, "at least 1"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        JigsawOptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"
