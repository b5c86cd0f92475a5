"""How an image is composed: whether it has a subject on a ground, in four numbers that cost next to nothing.

An encoder that averages over positions is blind to where in an image something is, and to how grey levels are
distributed. Both tell a subject on a ground from a texture that fills the image.
"""

from __future__ import annotations

import functools

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
    levels = grey.flatten(1)
    # Plain sums, several times as fast as torch's variances.
    mean = levels.mean(dim=1, keepdim=True)
    centred = levels - mean
    squares = centred.square()
    variance = squares.mean(dim=1)
    # Rounding must not give a blank image a composition.
    moves = variance > ROUNDING * (variance + mean.squeeze(1).square())
    scale = torch.where(moves, variance, 1.0)
    quarter = size // 4
    middle = squares.unflatten(1, (size, size))[:, quarter : size - quarter, quarter : size - quarter]
    border = levels.index_select(1, _border(size, images.device))
    border = border - border[:, :1]
    columns = (
        ((squares * centred).mean(dim=1).abs() / scale**1.5).clamp(max=LARGEST),
        (squares.square().mean(dim=1) / scale**2).clamp(min=1, max=LARGEST**2).log(),
        (middle.mean(dim=(1, 2)) / scale).clamp(max=LARGEST),
        ((border.square().mean(dim=1) - border.mean(dim=1).square()) / scale).clamp(min=0, max=LARGEST),
    )
    return torch.stack(columns, dim=1) * moves.unsqueeze(1)


@functools.cache
def _border(size: int, device: torch.device) -> Tensor:
    """Where the border's pixels are among those of a square image."""
    edge = max(1, size // BORDER)
    inside = torch.zeros(size, size, dtype=torch.bool)
    inside[edge:-edge, edge:-edge] = True
    return (~inside).flatten().nonzero().squeeze(1).to(device)
