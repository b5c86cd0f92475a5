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


def composition(images: Tensor) -> Tensor:
    """(m, 4) of images (m, c, s, s): of the grey levels the size of the skewness and the logarithm of the kurtosis; the
    variance within the middle quarter of the area, and within the border, as shares of the whole image's.

    All are the same whatever the image's contrast, and for its negative. A blank image has zeros and shares of 0.
    """
    grey = images.mean(dim=1)
    size = grey.shape[1]
    centred = grey - grey.mean(dim=(1, 2), keepdim=True)
    squares = centred.square()
    variance = squares.mean(dim=(1, 2)) + torch.finfo(grey.dtype).tiny
    deviation = variance.sqrt()
    skewness = (squares * centred).mean(dim=(1, 2)) / (variance * deviation)
    kurtosis = squares.square().mean(dim=(1, 2)) / variance.square()
    quarter, edge = size // 4, max(1, size // BORDER)
    middle = squares[:, quarter : size - quarter, quarter : size - quarter].mean(dim=(1, 2))
    frame = torch.ones(size, size, dtype=torch.bool, device=images.device)
    frame[edge : size - edge, edge : size - edge] = False
    border = grey[:, frame]
    around = border.var(dim=1, correction=0)
    columns = (
        skewness.abs().clamp(max=LARGEST),
        kurtosis.clamp(min=1, max=LARGEST**2).log(),
        (middle / variance).clamp(max=LARGEST),
        (around / variance).clamp(max=LARGEST),
    )
    return torch.stack(columns, dim=1)
