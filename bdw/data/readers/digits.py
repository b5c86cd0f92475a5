"""The embedded data: scikit-learn's 1,797 handwritten digits (8 x 8, UCI), no download.

Of these, 1,000 drawn by the seed make the source together with 1,000 planted junk images; the other 797 are the
target, in several renditions, so that no target image is in the source.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bdw.data import splits
from bdw.data.instances import Part, Pixels
from bdw.data.readers import planted_junk
from bdw.data.readers.base import Request, SplitName
from bdw.data.readers.renditions import RENDITIONS
from bdw.errors import InputError

NUM_POOL_DIGITS = 1000
NUM_JUNK = 1000
TEST_FRACTION = 0.4

_CLASSES = tuple("0123456789")
_GENERATION = 1
"""Part of the fingerprint: raise it whenever the same seed gives other images."""


class Digits:
    """One rendition of the digits; the plain one is also a source."""

    def __init__(self, name: str) -> None:
        self.name = name

    def source(self, request: Request) -> Part:
        """2,000 images in a random order: 1,000 digits and a third of 1,000 of each kind of junk."""
        _require_no_path(request)
        if self.name != "digits":
            raise InputError(f"{request.option}: {self.name!r} is a target only; allowed: 'digits', its source")
        grids, digit_labels = _digits()
        pool = _pool(request.seed)
        generator = np.random.default_rng([request.seed, 11])
        entries: list[tuple[str, str, int, planted_junk.Grid]] = [
            (f"digit-{i:04d}", "digit", int(digit_labels[i]), grids[i]) for i in pool
        ]
        for i in range(NUM_JUNK):
            kind = planted_junk.KINDS[i % len(planted_junk.KINDS)]
            entries.append((f"{kind}-{i:04d}", kind, -1, planted_junk.draw(kind, grids[pool[i]], generator)))
        order = generator.permutation(len(entries))
        mixed = [entries[i] for i in order]
        channels = request.channels or 1

        def read(i: int) -> Pixels:
            return _to_pixels(_enlarge(mixed[i][3], request.image_size), channels)

        kinds = np.array([kind for _, kind, _, _ in mixed])
        return Part(
            names=[name for name, _, _, _ in mixed],
            labels=np.array([label for _, _, label, _ in mixed], dtype=np.int64),
            read=read,
            channels=channels,
            fingerprint={"reader": self.name, "part": "source", "seed": request.seed, "generation": _GENERATION},
            classes=_CLASSES,
            planted=(kinds == "digit").astype(np.int8),
            kinds=kinds,
        )

    def target(self, request: Request) -> dict[SplitName, Part]:
        """The 797 digits outside the pool, 60 % train and 40 % test of every class."""
        _require_no_path(request)
        _, digit_labels = _digits()
        outside = np.setdiff1d(np.arange(len(digit_labels)), _pool(request.seed))
        train, test = splits.hold_out(digit_labels[outside], TEST_FRACTION, request.seed, _CLASSES)
        return {
            "train": self._part(outside[train], "train", request),
            "test": self._part(outside[test], "test", request),
        }

    def _part(self, numbers: NDArray[np.int64], split: str, request: Request) -> Part:
        grids, digit_labels = _digits()
        rendition = RENDITIONS[self.name]
        channels = request.channels or 1

        def read(i: int) -> Pixels:
            number = int(numbers[i])
            generator = np.random.default_rng([request.seed, 12, number])
            return _to_pixels(rendition(_enlarge(grids[number], request.image_size), generator), channels)

        return Part(
            names=[f"digit-{number:04d}" for number in numbers],
            labels=digit_labels[numbers],
            read=read,
            channels=channels,
            fingerprint={"reader": self.name, "part": split, "seed": request.seed, "generation": _GENERATION},
            classes=_CLASSES,
        )


READERS = tuple(Digits(name) for name in RENDITIONS)


def _require_no_path(request: Request) -> None:
    if request.path is not None:
        raise InputError(f"{request.option}: {request.spec!r} has a path; allowed: {request.name!r}, which needs none")


@cache
def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Grids (1797, 8, 8) with levels 0 to 16, and labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images.astype(np.float64), data.target.astype(np.int64)


def _pool(seed: int) -> NDArray[np.int64]:
    """The source's digits by their number in scikit-learn's order, in a random order."""
    count = len(_digits()[1])
    return np.random.default_rng([seed, 10]).permutation(count)[:NUM_POOL_DIGITS]


def _enlarge(grid: planted_junk.Grid, size: int) -> NDArray[np.float64]:
    """Levels 0 to 16 as bilinearly enlarged float64 (size, size) from 0 to 255."""
    image = Image.fromarray((grid * (255 / planted_junk.LEVELS)).astype(np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float64)


def _to_pixels(ink: NDArray[np.float64], channels: int) -> Pixels:
    pixels = np.clip(np.round(ink), 0, 255).astype(np.uint8)
    return np.repeat(pixels[None], channels, axis=0)
