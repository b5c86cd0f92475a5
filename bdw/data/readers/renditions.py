"""The held-out digits in other guises: further target domains that share one source pool.

Each function takes enlarged images, float64 (size, size) with ink from 0 to 255, and returns the same; lengths are
shares of the side so that every image size looks alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Ink = NDArray[np.float64]
Rendition = Callable[[Ink, np.random.Generator], Ink]


def plain(ink: Ink, generator: np.random.Generator) -> Ink:
    """As written."""
    return ink


def inverted(ink: Ink, generator: np.random.Generator) -> Ink:
    """Dark on light."""
    return 255 - ink


def bold(ink: Ink, generator: np.random.Generator) -> Ink:
    """A thicker pen."""
    width = max(2, round(len(ink) / 8))
    dilated: Ink = ndimage.grey_dilation(ink, size=(width, width))
    return dilated


def slanted(ink: Ink, generator: np.random.Generator) -> Ink:
    """Leaning to the right by about 27 degrees."""
    slope = 0.5
    centre = (len(ink) - 1) / 2
    sheared: Ink = ndimage.affine_transform(ink, np.array([[1, 0], [slope, 1]]), offset=[0, -slope * centre], order=1)
    return sheared


def blurred(ink: Ink, generator: np.random.Generator) -> Ink:
    """Out of focus."""
    soft: Ink = ndimage.gaussian_filter(ink, sigma=len(ink) / 16)
    return soft


def noisy(ink: Ink, generator: np.random.Generator) -> Ink:
    """Under heavy film grain, the generator's own for every image."""
    return ink + generator.normal(0, 60, ink.shape)


RENDITIONS: dict[str, Rendition] = {
    "digits": plain,
    "digits-inverted": inverted,
    "digits-bold": bold,
    "digits-slanted": slanted,
    "digits-blurred": blurred,
    "digits-noisy": noisy,
}
