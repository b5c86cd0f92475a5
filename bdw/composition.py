"""How an image is composed: whether it has a subject on a ground, in four numbers that cost next to nothing.

An encoder that averages over positions is blind to where in an image something is, and to how grey levels are
distributed. Both tell a subject on a ground from a texture that fills the image.
"""

from __future__ import annotations

import torch
from torch import Tensor

BORDER = 8
"""The border is one part in so many of the side, on every side."""
LARGEST = 9.0
"""Shares of the variance count up to this, which few images reach."""
ROUNDING = 1e-11
"""Share of the mean square below which a variance is rounding: one pixel of 50,000 that is one of 256 levels off has a
hundred times as much."""


def composition(images: Tensor) -> Tensor:
    """(m, 4) of images (m, c, s, s): of the grey levels the size of the skewness and the logarithm of the kurtosis; the
    variance within the middle quarter of the area, and within the border, as shares of the whole image's.

    All are the same whatever the image's contrast, and for its negative. A blank image has zeros and shares of 0.
    """
    size = images.shape[-1]
    grey = images[:, 0] if images.shape[1] == 1 else images.mean(dim=1)
    centred = grey - grey.mean(dim=(1, 2), keepdim=True)
    variance = centred.square().mean(dim=(1, 2), keepdim=True)
    # Rounding must not give a blank image a composition.
    moves = variance > ROUNDING * grey.square().mean(dim=(1, 2), keepdim=True)
    levels = torch.where(moves, centred / variance.sqrt(), 0.0)
    squares = levels.square()
    quarter, edge = size // 4, max(1, size // BORDER)
    sides = (levels[:, edge:-edge, :edge], levels[:, edge:-edge, -edge:])
    border = torch.cat([strip.flatten(1) for strip in (levels[:, :edge], levels[:, -edge:], *sides)], dim=1)
    columns = (
        (squares * levels).mean(dim=(1, 2)).abs().clamp(max=LARGEST),
        squares.square().mean(dim=(1, 2)).clamp(min=1, max=LARGEST**2).log(),
        squares[:, quarter : size - quarter, quarter : size - quarter].mean(dim=(1, 2)).clamp(max=LARGEST),
        border.var(dim=1, correction=0).clamp(max=LARGEST),
    )
    return torch.stack(columns, dim=1)
