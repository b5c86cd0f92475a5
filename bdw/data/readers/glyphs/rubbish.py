"""Images that cannot help to tell letters apart, in the same range of contrasts and noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from PIL import Image
from scipy import ndimage

from bdw.data.readers.glyphs.drawing import Ink, coloured, noisy


def noise(size: int, generator: np.random.Generator) -> Ink:
    """Every pixel for itself, or in blocks of two."""
    block = int(generator.integers(1, 3))
    coarse = generator.random((-(-size // block),) * 2)
    return coloured(np.repeat(np.repeat(coarse, block, 0), block, 1)[:size, :size], generator)


def blank(size: int, generator: np.random.Generator) -> Ink:
    """One grey level."""
    return noisy(np.full((size, size), generator.uniform(0, 255)), generator)


def stripes(size: int, generator: np.random.Generator) -> Ink:
    """Waves in any direction, so that a quarter turn gives another such image."""
    angle, phase = generator.uniform(0, 2 * np.pi, 2)
    period = size * generator.uniform(0.12, 0.5)
    rows, columns = np.indices((size, size))
    wave = np.sin(2 * np.pi * (np.cos(angle) * rows + np.sin(angle) * columns) / period + phase)
    return coloured(0.5 + 0.5 * np.clip(generator.uniform(1, 4) * wave, -1, 1), generator)


def clouds(size: int, generator: np.random.Generator) -> Ink:
    """Noise out of focus."""
    soft = ndimage.gaussian_filter(generator.normal(size=(size, size)), sigma=size * generator.uniform(0.05, 0.2))
    return coloured((soft - soft.min()) / max(float(np.ptp(soft)), 1e-9), generator)


def photo(size: int, generator: np.random.Generator) -> Ink:
    """A patch of one of scikit-learn's two photographs (a temple, a flower), in any of the four orientations."""
    photos = _photos()
    whole = photos[int(generator.integers(len(photos)))]
    side = int(generator.integers(size, 6 * size))
    side = min(side, *whole.size)
    left, top = (int(generator.integers(0, length - side + 1)) for length in whole.size)
    patch = whole.resize((size, size), Image.Resampling.BOX, box=(left, top, left + side, top + side))
    turned = np.rot90(np.asarray(patch, dtype=np.float64), int(generator.integers(4)))
    return noisy(turned, generator)


KINDS: Mapping[str, Callable[[int, np.random.Generator], Ink]] = {
    "noise": noise,
    "blank": blank,
    "stripes": stripes,
    "clouds": clouds,
    "photo": photo,
}
"""Name of a kind of rubbish -> how it is drawn."""


@cache
def _photos() -> tuple[Image.Image, ...]:
    from sklearn.datasets import load_sample_images

    return tuple(Image.fromarray(image).convert("L") for image in load_sample_images().images)
