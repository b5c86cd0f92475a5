"""Pools of real photographs with a given share of rubbish, the same for the same seed and photographs."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFile, ImageFont

from bdw.data import PackedDataset, pack_arrays
from bdw.data.instances import Pixels
from bdw.data.readers import resolve
from bdw.errors import InputError

PHOTOGRAPH = "photograph"
ORIGINALS = 8
"""Photographs that all near-duplicates of a pool are copies of."""
Original = Callable[[], Pixels]
"""Gives another photograph that is not in the pool."""

_STREAM = 61


def noise(size: int, generator: np.random.Generator, original: Original) -> Pixels:
    """Every pixel for itself, or in blocks of two or four, in colour or in grey."""
    block, channels = int(generator.choice([1, 2, 4])), int(generator.choice([1, 3]))
    coarse = generator.integers(0, 256, (channels, *(-(-size // block),) * 2), dtype=np.uint8)
    fine = coarse.repeat(block, 1).repeat(block, 2)[:, :size, :size]
    return fine if channels == 3 else fine.repeat(3, axis=0)


def blank(size: int, generator: np.random.Generator, original: Original) -> Pixels:
    """One colour with a sensor's noise of up to two levels."""
    colour = generator.integers(0, 256, (3, 1, 1))
    levels: Pixels = np.clip(colour + generator.integers(-2, 3, (3, size, size)), 0, 255).astype(np.uint8)
    return levels


def broken_decode(size: int, generator: np.random.Generator, original: Original) -> Pixels:
    """A photograph's JPEG file as a decoder shows it that forgives: cut off after 2 to 15 % of its data, or with one
    byte in twenty of them replaced."""
    file = io.BytesIO()
    Image.fromarray(original().transpose(1, 2, 0)).save(file, "JPEG", quality=90)
    data = np.frombuffer(file.getvalue(), dtype=np.uint8).copy()
    begin = _scan(data)
    if generator.random() < 0.5:
        data = data[: begin + math.ceil(generator.uniform(0.02, 0.15) * (len(data) - begin))]
    else:
        hit = begin + np.flatnonzero(generator.random(len(data) - begin - 2) < 0.05)
        data[hit] = generator.integers(0, 255, len(hit))  # 255 would begin a marker.
    return _forgiving(data.tobytes(), size)


def text(size: int, generator: np.random.Generator, original: Original) -> Pixels:
    """A part of a page of random words, dark on light or light on dark, as a screenshot shows it."""
    scale = 3
    page = Image.new("RGB", (scale * size,) * 2, tuple(int(level) for level in generator.integers(215, 256, 3)))
    draw, ink = ImageDraw.Draw(page), tuple(int(level) for level in generator.integers(0, 70, 3))
    height = int(generator.integers(9, 16))
    font = ImageFont.load_default(height)
    for line in range(-1, -(-scale * size // height)):
        words = (
            "".join(chr(97 + letter) for letter in generator.integers(0, 26, n)) for n in generator.integers(2, 9, 9)
        )
        place = (int(generator.integers(-height, 2 * height)), line * round(1.3 * height) + int(generator.integers(2)))
        draw.text(place, " ".join(words), fill=ink, font=font)
    small = np.asarray(page.resize((size, size), Image.Resampling.BOX)).transpose(2, 0, 1)
    return (255 - small if generator.random() < 0.3 else small).astype(np.uint8)


def near_duplicate(image: Pixels, generator: np.random.Generator) -> Pixels:
    """That photograph again: up to a pixel aside, a little brighter or darker, perhaps mirrored."""
    down, right = (int(shift) for shift in generator.integers(-1, 2, 2))
    moved = np.roll(image, (down, right), (1, 2))[:, :, :: int(generator.choice([1, -1]))]
    return np.clip(np.round(moved * generator.uniform(0.9, 1.1)), 0, 255).astype(np.uint8)


DRAWN: Mapping[str, Callable[[int, np.random.Generator, Original], Pixels]] = {
    "noise": noise,
    "blank": blank,
    "broken decode": broken_decode,
    "text": text,
}
KINDS = (*DRAWN, "near-duplicate")
"""Of rubbish, in equal shares."""


def rubbish_pool(
    path: Path, *, photographs: str, data_root: str, images: int, rubbish: float, size: int, seed: int
) -> PackedDataset:
    """Pack the pool, or open it where it is packed already.

    Args:
        path: of the packed store.
        photographs: their source, as `--source` names it.
        data_root: folder that holds it.
        images: of the pool.
        rubbish: share of them that is rubbish, 0 or more and below 1.
        size: side in pixels.
        seed: of the photographs that are chosen, of the rubbish and of the order.

    Returns:
        the store, uint8 (images, 3, size, size) in a random order; photographs are planted as useful.

    Raises:
        InputError: a share that cannot work, or too few photographs.
    """
    if path.is_dir():
        return PackedDataset.open(path)
    generator = np.random.default_rng([seed, _STREAM])
    kinds = kinds_of(images, rubbish, generator)
    needed = int((kinds == PHOTOGRAPH).sum() + (kinds == "broken decode").sum()) + ORIGINALS
    reader, request = resolve(photographs, option="photographs", image_size=size, data_root=data_root, channels=3)
    part = reader.source(request)
    if len(part) < needed:
        raise InputError(
            f"images: {images:,} with {100 * rubbish:g} % of rubbish need {needed:,} photographs and "
            f"{photographs!r} has {len(part):,}; allowed: a smaller pool"
        )
    rows = iter(generator.permutation(len(part)).tolist())

    def original() -> Pixels:
        return part.read(next(rows))

    copied = [original() for _ in range(ORIGINALS)]
    pool = np.empty((images, 3, size, size), dtype=np.uint8)
    for place, kind in enumerate(kinds):
        if kind == PHOTOGRAPH:
            pool[place] = original()
        elif kind in DRAWN:
            pool[place] = DRAWN[kind](size, generator, original)
        else:
            pool[place] = near_duplicate(copied[int(generator.integers(ORIGINALS))], generator)
    names = [f"{place:06d}" for place in range(images)]  # A name must not tell what an image is.
    return pack_arrays(path, pool, names=names, planted=(kinds == PHOTOGRAPH).astype(np.int8), kinds=kinds.tolist())


def kinds_of(images: int, rubbish: float, generator: np.random.Generator) -> NDArray[np.str_]:
    """What each image of the pool is: the share of rubbish to the nearest image, all kinds alike up to one."""
    if not 0 <= rubbish < 1:
        raise InputError(f"rubbish: {rubbish!r} cannot work; allowed: a share from 0, below 1")
    count = round(rubbish * images)
    dealt = np.array([*(KINDS[i % len(KINDS)] for i in range(count)), *[PHOTOGRAPH] * (images - count)])
    return generator.permutation(dealt)


def _scan(data: NDArray[np.uint8]) -> int:
    """Where the entropy-coded data of a JPEG file begin: behind the header of its only scan."""
    marker = data.tobytes().index(b"\xff\xda")
    return marker + 2 + 256 * int(data[marker + 2]) + int(data[marker + 3])


def _forgiving(data: bytes, size: int) -> Pixels:
    """What Pillow decodes of a broken file; what is missing is grey."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB").resize((size, size))).transpose(2, 0, 1).copy()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
