from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bdw.report import contact_sheet


def _weights(means: list[float], pruned_at: list[int]) -> pd.DataFrame:
    index = np.arange(len(means))
    return pd.DataFrame({"index": index, "name": index.astype(str), "mean": means, "pruned_at_epoch": pruned_at})


def _indices(choice: contact_sheet.Choice) -> list[int]:
    return choice.rows["index"].tolist()


def test_order_of_the_sheets() -> None:
    weights = _weights([0.5, 0.9, 0.1, 0.8, 0.2], [0, 0, 3, 0, 2])
    assert _indices(contact_sheet.most_useful(weights)) == [1, 3, 0, 4, 2]
    assert _indices(contact_sheet.least_useful(weights)) == [2, 4, 0, 3, 1]
    assert _indices(contact_sheet.pruned_first(weights)) == [4, 2]


def test_ties_are_drawn_and_counted_not_taken_by_index() -> None:
    # As an image folder leaves it: 600 images of one class before 600 of another, all of one weight, and ten better.
    weights = _weights([0.2] * 1200 + [0.9] * 10, [0] * 1210)
    choice = contact_sheet.least_useful(weights)
    shown = _indices(choice)
    assert len(set(shown)) == contact_sheet.TILES
    # By chance all 24 are of one class once in 8 million draws.
    assert min(shown) < 600 <= max(shown) < 1200
    assert choice.ties == "1,200 images have the weight 0.2000; 24 of them, drawn at random, are shown."
    assert _indices(contact_sheet.least_useful(weights)) == shown


def test_what_differs_by_rounding_alone_ties() -> None:
    choice = contact_sheet.least_useful(_weights((0.3 + 1e-16 * np.arange(1200)).tolist(), [0] * 1200))
    assert choice.rows["index"].max() > 600
    assert choice.ties.startswith("1,200 images have the weight 0.3")


def test_only_those_that_tie_with_the_last_are_drawn() -> None:
    weights = _weights([0.9] * 10 + [0.2] * 100, [0] * 110)
    choice = contact_sheet.most_useful(weights)
    assert sorted(_indices(choice)[:10]) == list(range(10))
    assert choice.ties == "100 images have the weight 0.2000; 14 of them, drawn at random, are shown."


def test_without_ties_at_the_end_nothing_is_said_of_any() -> None:
    assert contact_sheet.most_useful(_weights([0.5] * 24 + [0.4], [0] * 25)).ties == ""
    assert contact_sheet.most_useful(_weights([0.5] * 20, [0] * 20)).ties == ""


def test_the_least_useful_are_pruned_ones_where_these_fill_a_sheet() -> None:
    # Kept images can have lower weights: those at the floor do, or those whose weights moved after a rest.
    few = _weights([0.1] * 10 + [0.3] * 23, [0] * 10 + [2] * 23)
    assert set(_indices(contact_sheet.least_useful(few))[:10]) == set(range(10))
    many = _weights([0.1] * 10 + [0.3] * 24, [0] * 10 + [2] * 24)
    assert set(_indices(contact_sheet.least_useful(many))) == set(range(10, 34))


def test_what_went_first_is_shown_where_images_went_at_different_times() -> None:
    choice = contact_sheet.pruned_first(_weights([0.5] * 60, [3] * 30 + [2] * 10 + [0] * 20))
    assert set(_indices(choice)[:10]) == set(range(30, 40))
    assert choice.ties == "30 images went after epoch 3; 14 of them, drawn at random, are shown."
    at_once = contact_sheet.pruned_first(_weights([0.5] * 60, [3] * 60))
    assert (len(at_once.rows), at_once.ties) == (0, "")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("beach/IMG_0042.jpg", "beach/IMG_0042.jpg"),
        ("beach/IMG_holiday_042.jpeg", "beach/IMG_holiday_042.jpeg"),
        ("beach/IMG_holiday_0042.jpeg", "beach/IMG_holiday_0042"),
        ("beach/IMG_holiday_00042_original.jpg", "beach/IMG_…_00042_original"),
    ],
)
def test_long_names_keep_their_folder_and_their_end(name: str, shown: str) -> None:
    short = contact_sheet.Tile("", "", "", "", name).short_name
    assert short == shown
    assert len(short) <= contact_sheet.LONGEST_NAME


def test_a_tile_shows_the_image_of_its_index() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 6, 4), dtype=np.uint8)
    weights = _weights([0.5, 0.9, 0.1, 0.8, 0.2], [0, 0, 3, 0, 2]).assign(planted=1, kind="digit")
    tile = contact_sheet.tiles(contact_sheet.pruned_first(weights).rows, images, show_epoch=True)[1]
    assert (tile.number, tile.weight, tile.detail, tile.name) == ("#2", "0.1000", "epoch 3, digit", "2")
    with Image.open(io.BytesIO(base64.b64decode(tile.address.partition(",")[2]))) as shown:
        np.testing.assert_array_equal(np.asarray(shown), images[2].transpose(1, 2, 0))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (2, "L")])
def test_any_number_of_channels_and_large_images(channels: int, mode: str) -> None:
    pixels = np.full((channels, 400, 200), 77, dtype=np.uint8)
    with Image.open(io.BytesIO(contact_sheet.image_png(pixels))) as shown:
        assert (shown.mode, shown.size) == (mode, (96, 192))
        assert np.unique(np.asarray(shown)).tolist() == [77]


def test_images_of_unknown_sort_have_no_detail() -> None:
    images = np.zeros((1, 1, 2, 2), dtype=np.uint8)
    assert contact_sheet.tiles(_weights([0.5], [0]), images)[0].detail == ""
    assert contact_sheet.tiles(_weights([0.5], [0]).assign(planted=-1), images)[0].detail == ""
    assert contact_sheet.tiles(_weights([0.5], [0]).assign(planted=0), images)[0].detail == "junk"
