"""Images of the source that are, or nearly are, the target's validation or test images: found by what they show.

An encoder that was trained on them has seen what it is measured on. Perceptual hashes propose pairs, and the grey
levels' correlation decides (`bdw.data.near_duplicates`), of a held-out image and of its mirror image. Below 32 pixels a
side, different images of one kind look alike (digits, letters): there only images of the same grey levels count. Images
of a single grey are nobody's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bdw.data.instances import Part
from bdw.data.packed import PackedDataset
from bdw.data.packed_part import part_of
from bdw.errors import InputError
from bdw.storage.atomic_write import write_text

if TYPE_CHECKING:
    from torch import Tensor

    from bdw.data.near_duplicates import Described

MOST_COMPARISONS = 10**9
"""Images of the source times held-out images that `fit` compares by itself: some 40 seconds on one core, once."""
SHOWN = 3
"""Names that a sentence gives as examples."""
_BLOCK = 2048

Progress = Callable[[int, int | None], None]
HeldOut = Mapping[str, tuple[NDArray[np.uint8], Sequence[str] | NDArray[np.str_]]]
"""Split -> images uint8 (m, c, h, h) and their names."""


@dataclass(frozen=True)
class Leak:
    """An image of the source that is nearly a held-out one."""

    row: int
    """Of the source."""
    name: str
    split: str
    held_out: str
    """Name of the target's image."""
    is_crop: bool = False
    """Whether one is a part of the other (`bdw.data.cropped_leaks`)."""


def find_leaks(source: PackedDataset, held_out: HeldOut, progress: Progress | None = None) -> tuple[Leak, ...]:
    """All leaks, in the order of the source; an image that is nearly several held-out ones is told once a split, with
    the first of them. Splits whose images have another shape than the source's, or are no squares, have none.
    `progress` hears of images of the source that were compared."""
    from bdw.data.near_duplicates import Described

    shape = source.images.shape[1:]
    known = {split: images for split, (images, _) in held_out.items() if len(images) and images.shape[1:] == shape}
    if not known or shape[1] != shape[2]:
        return ()
    described = {split: _with_mirrors(images) for split, images in known.items()}
    found: dict[tuple[int, str], int] = {}
    for start in range(0, len(source), _BLOCK):
        block = Described(_thumbnails(source.images[start : start + _BLOCK]))
        for split, mine in described.items():
            count = len(held_out[split][0])
            for row, column in _same(block, mine, source.images.shape[-1]):
                key = (start + row, split)
                found[key] = min(found.get(key, count), column % count)
        if progress is not None:
            progress(min(start + _BLOCK, len(source)), len(source))
    return tuple(
        Leak(row, str(source.names[row]), split, str(held_out[split][1][column]))
        for (row, split), column in sorted(found.items())
    )


def find_leaks_once(
    source: PackedDataset, held_out: HeldOut, folder: Path | None, progress: Progress | None = None
) -> tuple[Leak, ...]:
    """What `find_leaks` finds, kept in a file of that folder whose name follows from the contents of both sides."""
    if folder is None:
        return find_leaks(source, held_out, progress)
    digest = hashlib.sha256()
    for split, (images, names) in held_out.items():
        digest.update(json.dumps([split, images.shape, list(map(str, names))]).encode())
        digest.update(np.ascontiguousarray(images).data)
    path = folder / f"leaks-{source.content_key}-{digest.hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        return tuple(Leak(**each) for each in json.loads(path.read_bytes()))
    found = find_leaks(source, held_out, progress)
    with contextlib.suppress(OSError):  # A folder that cannot be written costs the next start another look.
        write_text(path, json.dumps([dataclasses.asdict(each) for each in found]))
    return found


def without(store: PackedDataset, leaks: Sequence[Leak]) -> Part:
    """The images of the store but for the leaks; `InputError` if none is left."""
    rows = np.setdiff1d(np.arange(len(store)), [leak.row for leak in leaks])
    if not len(rows):
        raise InputError(
            "without_leaks: every image of the source is nearly one of the target's validation or test images; "
            "allowed: a source that holds others"
        )

    return part_of(store, "without-leaks", [f"{in_words(leaks)}; they were left out"]).select(rows)


def held_out_images(leaks: Sequence[Leak]) -> dict[str, int]:
    """How many held-out images of each split the source holds, or nearly; only where it holds any."""
    told = {(leak.split, leak.held_out) for leak in leaks}
    return dict(sorted(Counter(split for split, _ in told).items(), reverse=True))


def in_words(leaks: Sequence[Leak]) -> str:
    """How many there are, and some names."""
    shown = ", ".join(f"{leak.name} ({leak.split} image {leak.held_out})" for leak in leaks[:SHOWN])
    count = len({leak.row for leak in leaks})
    verb = "are or nearly are" if count > 1 else "is or nearly is"
    return (
        f"{count:,} image{'s' if count > 1 else ''} of the source {verb} the target's validation or test images, such "
        f"as {shown}"
    )


def _same(block: Described, held_out: Described, side: int) -> list[tuple[int, int]]:
    pairs = block.pairs(held_out)
    from bdw.data.perceptual_hash import SIDE

    if side < SIDE and len(pairs):
        of_block = {row: place for place, row in enumerate(block.rows.tolist())}
        of_target = {row: place for place, row in enumerate(held_out.rows.tolist())}
        one = block.thumbnails[[of_block[row] for row in pairs[:, 0].tolist()]]
        other = held_out.thumbnails[[of_target[row] for row in pairs[:, 1].tolist()]]
        pairs = pairs[(one == other).flatten(1).all(dim=1)]
    return [(int(row), int(column)) for row, column in pairs.tolist()]


def _with_mirrors(images: NDArray[np.uint8]) -> Described:
    """The images, and behind them their mirror images."""
    import torch

    from bdw.data.near_duplicates import Described

    thumbnails = torch.cat([_thumbnails(images[i : i + _BLOCK]) for i in range(0, len(images), _BLOCK)])
    return Described(torch.cat([thumbnails, thumbnails.flip(-1)]))


def _thumbnails(images: NDArray[np.uint8]) -> Tensor:
    import torch

    from bdw.data.perceptual_hash import grey_thumbnails

    return grey_thumbnails(torch.from_numpy(np.array(images)))
