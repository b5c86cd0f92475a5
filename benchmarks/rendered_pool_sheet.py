"""A contact sheet of the rendered pool: `python -m benchmarks.rendered_pool_sheet`.

From above: two rows of useful images, one of each kind of rubbish; a target's training and test images, character by
character, and another one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image

from bdw.data.readers import resolve
from bdw.data.readers.glyphs import SCRIPTS
from bdw.data.readers.glyphs.rubbish import KINDS

COLUMNS, SIZE, GAP = 20, 24, 1


@dataclass(frozen=True)
class Arguments:
    """Command line of the sheet."""

    picture: Path = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "rendered_pool.png"
    """Where to write it."""
    targets: tuple[str, ...] = ("glyphs-greek", "glyphs-hebrew")
    """Targets whose training and test images are shown."""


def rows(targets: tuple[str, ...]) -> Iterator[list[NDArray[np.uint8]]]:
    """The tiles (s, s) by row."""
    reader, request = resolve("glyphs", option="source", image_size=SIZE)
    pool = reader.source(request)
    what = np.array([name.partition("-")[0] for name in pool.names])
    first = {kind: np.flatnonzero(what == kind)[:COLUMNS].tolist() for kind in (*SCRIPTS, *KINDS)}
    useful = [first[script][turn] for script in SCRIPTS for turn in range(3)]
    for numbers in (useful[:COLUMNS], useful[COLUMNS : 2 * COLUMNS], *(first[kind] for kind in KINDS)):
        yield [pool.read(i)[0] for i in numbers]
    for target in targets:
        reader, request = resolve(target, option="target", image_size=SIZE)
        parts = reader.target(request)
        for part in (parts["train"], parts["test"]):
            yield [part.read(int(i))[0] for i in np.unique(part.labels, return_index=True)[1][:COLUMNS]]


def main(arguments: Arguments) -> None:
    """Write the sheet, at twice the images' size."""
    tiles = [np.hstack([np.pad(tile, GAP, constant_values=255) for tile in row]) for row in rows(arguments.targets)]
    sheet = Image.fromarray(np.vstack(tiles))
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST).save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
