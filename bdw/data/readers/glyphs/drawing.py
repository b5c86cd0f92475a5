"""One character as an image: random size, place, slant, contrast, inversion and noise, always upright."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bdw.data.readers.glyphs.faces import Face, font

Ink = NDArray[np.float64]
"""Grey levels from 0 to 255, (size, size)."""

FINENESS = 3
"""A character is drawn larger by this factor and then averaged down, since hinting at 24 pixels would make all faces
alike."""
HEIGHTS = tuple(0.05 * step for step in range(14, 21))
"""Heights of the letter's em square as a share of the image's side."""
MAX_SLANT = 0.25
"""Largest shift to either side, as a share of the height."""
MAX_TURN = 8.0
"""Degrees to either side: far less than the quarter turns that the rotation task asks about."""
MIN_CONTRAST = 100.0
"""Smallest difference in grey levels between ink and ground."""
MAX_NOISE = 8.0
"""Largest standard deviation of the noise, in grey levels."""


def draw(character: str, face: Face, size: int, generator: np.random.Generator) -> Ink:
    """The character on a plain ground; every call draws its own style from the generator."""
    side = FINENESS * size
    height = HEIGHTS[int(generator.integers(len(HEIGHTS)))]
    shape = _fitting(character, face, round(height * side), side)
    slant, turn = generator.uniform(-MAX_SLANT, MAX_SLANT), np.deg2rad(generator.uniform(-MAX_TURN, MAX_TURN))
    stretch = generator.uniform(0.85, 1.15)
    # From a place in the result to a place in the drawing, both relative to the centre.
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = matrix @ np.array([[1.0, slant], [0.0, 1.0]]) @ np.diag([1 / stretch, stretch])
    centre = np.full(2, side / 2)
    shift = generator.uniform(-0.08, 0.08, 2) * side
    offset = centre - matrix @ (centre + shift)
    coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
    moved = shape.transform(shape.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    coverage = np.asarray(moved.resize((size, size), Image.Resampling.BOX), dtype=np.float64) / 255
    return coloured(coverage, generator)


def coloured(coverage: Ink, generator: np.random.Generator) -> Ink:
    """Shares of ink from 0 to 1 as grey levels: random ink and ground, either may be the lighter one, and noise."""
    contrast = generator.uniform(MIN_CONTRAST, 255)
    darker = generator.uniform(0, 255 - contrast)
    ground, ink = (darker, darker + contrast) if generator.random() < 0.5 else (darker + contrast, darker)
    return noisy(ground + (ink - ground) * coverage, generator)


def noisy(levels: Ink, generator: np.random.Generator) -> Ink:
    """With noise of a random strength."""
    return levels + generator.normal(0, generator.uniform(0, MAX_NOISE), levels.shape)


def _fitting(character: str, face: Face, height: int, side: int) -> Image.Image:
    """White on black, centred; smaller where the character would not fit."""
    for smaller in range(8):
        sized = font(face.path, max(4, round(height * 0.85**smaller)))
        left, top, right, bottom = map(int, sized.getbbox(character))
        if max(right - left, bottom - top) <= 0.86 * side:
            break
    shape = Image.new("L", (side, side))
    where = (round((side - left - right) / 2), round((side - top - bottom) / 2))
    ImageDraw.Draw(shape).text(where, character, fill=255, font=sized)
    return shape
