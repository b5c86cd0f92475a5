"""How an image is composed: whether it has a subject on a ground, in four numbers that cost next to nothing.

An encoder that averages over positions is blind to where in an image something is, and to how grey levels are
distributed. Both tell a subject on a ground from a texture that fills the image.
"""

from __future__ import annotations

import torch
from torch import Tensor

BORDER = 8
"""The border is one part in so many of the side, on every side."""
ROUNDING = 1e-10
"""Variance over squared mean below which an image is blank."""
LARGEST = 9.0
"""Shares of the variance count up to this, which few images reach."""


def composition(images: Tensor) -> Tensor:
    """(m, 4) of images (m, c, s, s): of the grey levels the size of the skewness and the logarithm of the kurtosis; the
    variance within the middle quarter of the area, and within the border, as shares of the whole image's.

    All are the same whatever the image's contrast, and for its negative. A blank image has zeros and shares of 0.
    """
    size = images.shape[-1]
    grey = images[:, 0] if images.shape[1] == 1 else images.mean(dim=1)
    level = grey.mean(dim=(1, 2), keepdim=True)
    centred = grey - level
    squares = centred * centred
    pixels, flat = centred.flatten(1), squares.flatten(1)
    variance = flat.mean(dim=1)
    # A blank image varies by rounding alone, which has no composition.
    varies = variance > ROUNDING * level.flatten().square()
    variance = torch.where(varies, variance, 1.0)
    skewness = (flat * pixels).mean(dim=1) / (variance * variance.sqrt())
    kurtosis = (flat * flat).mean(dim=1) / (variance * variance)
    quarter, edge = size // 4, max(1, size // BORDER)
    middle = squares[:, quarter : size - quarter, quarter : size - quarter].mean(dim=(1, 2))
    # The border is what the inside leaves of the whole, whose sum is 0.
    inside = slice(edge, size - edge)
    count = size * size - (size - 2 * edge) ** 2
    mean = -centred[:, inside, inside].sum(dim=(1, 2)) / count
    border = (flat.sum(dim=1) - squares[:, inside, inside].sum(dim=(1, 2))) / count - mean * mean
    shares = torch.stack([middle, border], dim=1) / variance.unsqueeze(1)
    levels = torch.stack([skewness.abs().clamp(max=LARGEST), kurtosis.clamp(min=1, max=LARGEST**2).log()], dim=1)
    return torch.cat([levels, shares.clamp(0, LARGEST)], dim=1) * varies.unsqueeze(1)
