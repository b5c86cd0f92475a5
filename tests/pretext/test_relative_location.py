"""Relative patch location: where patches lie, what they lose, and the loss against the paper's classifier, pair by
pair."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bdw import encoders
from bdw.config.pretext_options.relative_location import RelativeLocationOptions
from bdw.errors import InputError
from bdw.pretext import Images
from bdw.pretext.relative_location import NEIGHBOURS, RelativeLocation, projected
from tests.pretext.cases import CASES, small_encoder
from tests.pretext.models import as_stored, views_of


def _numbered(count: int, side: int) -> Tensor:
    """Images (count, 2, side, side): rows in the first channel, columns in the second."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([rows, columns]).to(torch.uint8).expand(count, 2, side, side)


def _task(side: int = 32, channels: int = 3, **options: object) -> RelativeLocation:
    return RelativeLocation(small_encoder(channels, side, "group"), RelativeLocationOptions(**options))


def test_patches_lie_three_by_three_with_gaps_and_jitter() -> None:
    task = _task(channels=2, patch_size=6, gap=0.5, jitter=1 / 6, colours="keep")
    drawn = task.views(_numbered(400, 32), as_stored, torch.Generator().manual_seed(0)).inputs[0]
    pixels = ((drawn + 1) * 127.5).round().long().unflatten(0, (400, 9))
    corners = pixels[..., 0, 0]
    # Every patch is a square of consecutive rows and columns.
    assert torch.equal(pixels[..., 0, :, 0] - corners[..., :1], torch.arange(6).expand(400, 9, 6))
    assert torch.equal(pixels[..., 1, 0, :] - corners[..., 1:], torch.arange(6).expand(400, 9, 6))
    grid = (6 + 3) * torch.tensor([(row, column) for row in range(3) for column in range(3)])
    moved = corners - grid
    # What is left is the grid's corner, 0 to 32 - (18 + 6 + 2) = 6, and 0 to 2 of jitter.
    assert (int(moved.min()), int(moved.max())) == (0, 8)
    spread = moved.amax(dim=1) - moved.amin(dim=1)
    assert int(spread.max()) == 2, "patches move by themselves"


def test_the_largest_patch_that_fits_is_taken() -> None:
    # 3 * 7 + 2 * round(3.5) + 2 * round(0.51) = 31 pixels; 8 would take 34.
    assert _task(32).patch_size == 7
    assert _task(32, gap=0.0, jitter=0.0).patch_size == 10


def test_a_dropped_channel_is_faint_noise() -> None:
    images = torch.randint(256, (30, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    keeps = _task(colours="keep").views(images, as_stored, torch.Generator().manual_seed(2)).inputs[0]
    drops = _task(colours="drop").views(images, as_stored, torch.Generator().manual_seed(2)).inputs[0]
    same = (keeps == drops).flatten(2).all(dim=2)
    assert bool((same.sum(dim=1) == 1).all()), "each patch has one of its channels"
    assert same.double().mean(dim=0).tolist() == pytest.approx([1 / 3] * 3, abs=0.1)
    deviation = keeps[same].std(dim=(1, 2), correction=0).mean()
    assert float(drops[~same].square().mean().sqrt() / deviation) == pytest.approx(0.01, rel=0.02)


def test_projection_takes_green_against_magenta_out_of_a_colour() -> None:
    # By hand: (1, 0, 0) loses its part along (-1, 2, -1) / sqrt(6), which is (1, -2, 1) / 6.
    red = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).view(1, 3, 1, 1)
    assert projected(red).flatten().tolist() == pytest.approx([5 / 6, 2 / 6, -1 / 6])
    green_magenta = torch.tensor([-1.0, 2.0, -1.0]).view(1, 3, 1, 1)
    assert projected(green_magenta).abs().max() < 1e-6
    grey = torch.full((1, 3, 1, 1), 0.4)
    torch.testing.assert_close(projected(grey), grey)


def test_an_instances_loss_is_the_mean_of_eight_pairs() -> None:
    model = CASES["relative_location"].model()
    views = views_of(model, CASES["relative_location"].images(3))
    outputs = model(views)
    patches = model.encoder(views.inputs[0])
    losses, hits = [0.0] * 3, [0.0] * 3
    for i in range(3):
        for position, number in enumerate(NEIGHBOURS):
            logits = model.task.head(torch.cat([patches[9 * i + 4], patches[9 * i + number]])[None])[0].tolist()
            right = math.exp(logits[position]) / sum(map(math.exp, logits))
            losses[i] -= math.log(right) / 8
            hits[i] += (max(logits) == logits[position]) / 8
    assert model.task.losses(outputs).tolist() == pytest.approx(losses, rel=1e-12)
    assert outputs.hits.tolist() == pytest.approx(hits)
    assert outputs.features.shape == (27, 5)


def test_grey_images_keep_their_values() -> None:
    images = torch.full((2, 1, 32, 32), 200, dtype=torch.uint8)
    drawn = _task(channels=1).views(images, as_stored, torch.Generator()).inputs[0]
    torch.testing.assert_close(drawn, torch.full_like(drawn, 200 / 127.5 - 1))


def test_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError) as error:
        _task(32, patch_size=9)
    said = "pretext.patch_size: 9 cannot work: with gaps and jitter, nine patches take "
    assert str(error.value) == f"{said}37 pixels of crop_size 32; allowed: at most 7"
    with pytest.raises(InputError) as error:
        _task(32).check(Images(3, 40, 24))
    assert str(error.value) == (
        "pretext.patch_size: 7 cannot work: with gaps and jitter, nine patches take 31 pixels of images of 40 x 24; "
        "allowed: at most 6"
    )
    _task(32).check(Images(3, 31, 31))


@pytest.mark.parametrize("name", ["small_vit", "mlp"])
def test_an_encoder_that_wants_whole_images_is_refused(name: str) -> None:
    with torch.device("meta"):
        encoder = encoders.build(name, 3, 32)
        with pytest.raises(InputError, match="cannot see patches of 7 x 7 pixels, cut at crop_size 32; allowed: "):
            RelativeLocation(encoder)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("patch_size", 0, "at least 1, or none for the largest that fits"),
        ("gap", -0.5, "a number from 0 on"),
        ("gap", math.nan, "a number from 0 on"),
        ("jitter", 2.0, "0 to 1"),
        ("hidden_dim", 0, "at least 1, or none for the features'"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        RelativeLocationOptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"
