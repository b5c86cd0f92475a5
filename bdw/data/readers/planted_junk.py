"""Junk that is planted among the digits: images that cannot help to tell digits apart, but resemble them locally.

All kinds are drawn on the digits' own 8 x 8 grid with their 17 grey levels (0 to 16) and go through the same
enlargement, so that neither sharpness nor the set of grey values gives them away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float64]
"""Grey levels 0 to 16, (8, 8)."""

LEVELS = 16
KINDS = ("shuffled", "noise", "stripes")


def draw(kind: str, digit: Grid, generator: np.random.Generator) -> Grid:
    """One junk image. `shuffled` is the given digit with its pixels in a random order, the others do not look at it."""
    if kind == "shuffled":
        return generator.permutation(digit.ravel()).reshape(digit.shape)
    if kind == "noise":
        return generator.integers(0, LEVELS + 1, digit.shape).astype(np.float64)
    if kind == "stripes":
        return _stripes(digit.shape, generator)
    raise ValueError(kind)


def _stripes(shape: tuple[int, ...], generator: np.random.Generator) -> Grid:
    """Waves in any direction. A quarter turn gives another such image, so rotations cannot be told apart either."""
    angle, phase = generator.uniform(0, 2 * np.pi, 2)
    period = generator.uniform(2.5, 6.0)
    rows, columns = np.indices(shape)
    wave = np.sin(2 * np.pi * (np.cos(angle) * rows + np.sin(angle) * columns) / period + phase)
    sharpness = generator.uniform(1.0, 4.0)
    grid: Grid = np.round(LEVELS / 2 * (1 + np.clip(sharpness * wave, -1, 1)))
    return grid
