"""The contact sheet of the rendered pool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bdw.data.readers import resolve
from benchmarks import rendered_pool_sheet as sheet


def test_the_sheet_shows_the_pool_and_its_targets(tmp_path: Path) -> None:
    """Two rows of letters, five of rubbish, and two of the target; tiles are the reader's own images."""
    arguments = sheet.Arguments(picture=tmp_path / "sheet.png", targets=("glyphs-lao",))
    sheet.main(arguments)
    side = sheet.SIZE + 2 * sheet.GAP
    with Image.open(arguments.picture) as picture:
        levels = np.asarray(picture)[::2, ::2]
    assert levels.shape == (9 * side, sheet.COLUMNS * side)
    tiles = levels.reshape(9, side, sheet.COLUMNS, side).swapaxes(1, 2)
    assert (tiles[:, :, 0] == 255).all(), "a gap"
    reader, request = resolve("glyphs-lao", option="target", image_size=sheet.SIZE)
    test = reader.target(request)["test"]
    inside = tiles[8, 3, sheet.GAP : -sheet.GAP, sheet.GAP : -sheet.GAP]
    np.testing.assert_array_equal(inside, test.read(3 * 20)[0])
    assert len({tile.tobytes() for row in tiles for tile in row}) == 9 * sheet.COLUMNS
