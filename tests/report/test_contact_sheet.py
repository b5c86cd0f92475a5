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


def test_order_of_the_sheets() -> None:
    weights = _weights([0.5, 0.9, 0.1, 0.9, 0.2], [0, 0, 3, 0, 2])
    assert list(contact_sheet.most_useful(weights)["index"]) == [1, 3, 0, 4, 2]
    assert list(contact_sheet.least_useful(weights)["index"]) == [2, 4, 0, 1, 3]
    assert list(contact_sheet.pruned_first(weights)["index"]) == [4, 2]


def test_a_sheet_holds_at_most_so_many() -> None:
    weights = _weights([0.5] * 100, [1] * 100)
    for choose in (contact_sheet.most_useful, contact_sheet.least_useful, contact_sheet.pruned_first):
        assert list(choose(weights)["index"]) == list(range(contact_sheet.TILES))


def test_a_tile_shows_the_image_of_its_index() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 6, 4), dtype=np.uint8)
    weights = _weights([0.5, 0.9, 0.1, 0.8, 0.2], [0, 0, 3, 0, 2]).assign(planted=1, kind="digit")
    tile = contact_sheet.tiles(contact_sheet.pruned_first(weights), images, show_epoch=True)[1]
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
