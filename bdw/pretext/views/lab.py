"""Colours in CIE L*a*b* and back, from sRGB with white D65 (IEC 61966-2-1; CIE 15; matrix of Lindbloom,
brucelindbloom.com). Grey has a = b = 0 to rounding."""

from __future__ import annotations

import torch
from torch import Tensor

_XYZ_OF_RGB = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_BEND = 6 / 29
"""Where the cube root of CIE's lightness goes over into a straight line."""


def rgb_to_lab(images: Tensor) -> Tensor:
    """Images (n, 3, ...) in [0, 1] -> L 0 to 100, a and b within -128 to 127, of the same shape and type."""
    linear = torch.where(images <= 0.04045, images / 12.92, ((images + 0.055) / 1.055) ** 2.4)
    matrix = _matrix(images)
    # Of white, so that its ratios are 1.
    ratios = _mixed(matrix / matrix.sum(dim=1, keepdim=True), linear)
    bent = torch.where(ratios > _BEND**3, ratios.clamp(min=0) ** (1 / 3), ratios / (3 * _BEND**2) + 4 / 29)
    x, y, z = bent.unbind(dim=1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """The inverse, in [0, 1]; colours that sRGB does not have are clamped to it channel by channel."""
    lightness, a, b = lab.unbind(dim=1)
    y = (lightness + 16) / 116
    bent = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    ratios = torch.where(bent > _BEND, bent**3, 3 * _BEND**2 * (bent - 4 / 29))
    matrix = _matrix(lab)
    # Inverted on the CPU in float64: not every device can, and float32 would lose digits.
    inverse = torch.linalg.inv(torch.tensor(_XYZ_OF_RGB, dtype=torch.float64, device="cpu")).to(lab)
    linear = _mixed(inverse * matrix.sum(dim=1), ratios).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).clamp(0, 1)


def _matrix(like: Tensor) -> Tensor:
    return torch.tensor(_XYZ_OF_RGB, dtype=like.dtype, device=like.device)


def _mixed(matrix: Tensor, images: Tensor) -> Tensor:
    """The matrix (3, 3) times the channels of images (n, 3, ...)."""
    return torch.einsum("ij,nj...->ni...", matrix, images)
