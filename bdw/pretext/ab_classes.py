"""Classes of colour: the cells of a grid in the ab plane (Zhang, Isola and Efros, "Colorful image colorization", ECCV
2016, section 2).

The paper's 313 cells come as a file with its data. These are the cells into which a colour of sRGB falls, 261.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from bdw.errors import InputError
from bdw.pretext.base import Images
from bdw.pretext.views.lab import rgb_to_lab

STEP = 10
"""Side of a cell in units of a and b."""
NEIGHBOURS, DEVIATION = 5, 5.0
"""Of the soft encoding: the nearest cells, weighted by a Gaussian of that standard deviation."""
_REACH = 12
"""Cells from the middle to the edge of the plane, which colours never reach."""
_LEVELS = 65
"""Of red, green and blue, for the search; 256 find no other cells."""
_ROWS_AT_ONCE = 65536


@functools.cache
def centres() -> Tensor:
    """(Q, 2) middles of the cells in the ab plane, float64 on the CPU, sorted; Q = 261."""
    levels = torch.linspace(0, 1, _LEVELS, dtype=torch.float64, device="cpu")
    colours = rgb_to_lab(torch.cartesian_prod(levels, levels, levels))
    cells: Tensor = torch.unique((colours[:, 1:] / STEP).round(), dim=0)
    return cells * STEP


def nearest(ab: Tensor) -> Tensor:
    """The class of each colour (k, 2, ...), int64 (k, ...): that of its cell."""
    cells = (ab / STEP).round().long().clamp(-_REACH, _REACH) + _REACH
    return _table().to(ab.device)[cells[:, 0] * (2 * _REACH + 1) + cells[:, 1]]


def soft_encoding(ab: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest classes of colours (k, 2, p), int64 (k, 5, p), nearest first, and their shares, which sum to 1."""
    rows, middles = ab.transpose(1, 2).flatten(0, 1), centres().to(ab)
    found = [torch.cdist(part, middles).topk(NEIGHBOURS, largest=False) for part in rows.split(_ROWS_AT_ONCE)]
    distances, classes = (torch.cat(parts) for parts in zip(*found, strict=True))
    shares = torch.softmax(-(distances**2) / (2 * DEVIATION**2), dim=1)
    return (
        classes.unflatten(0, (len(ab), -1)).transpose(1, 2).contiguous(),
        shares.unflatten(0, (len(ab), -1)).transpose(1, 2).contiguous(),
    )


def smoothed(counts: Tensor) -> Tensor:
    """How often each class occurs, (Q,) shares from counts (Q,), smoothed by a Gaussian; float64 on the CPU."""
    middles = centres()
    kernel = torch.softmax(-(torch.cdist(middles, middles) ** 2) / (2 * DEVIATION**2), dim=1)
    return (counts.to(middles) / counts.sum()) @ kernel


def rebalancing(shares: Tensor, uniform: float) -> Tensor:
    """Weights (Q,) of the classes from their shares p (Q,), large for rare ones (eq. 4).

    w ~ 1 / ((1 - uniform) p + uniform / Q); the mean of w over p is 1.
    """
    weights = 1 / ((1 - uniform) * shares + uniform / len(shares))
    return weights / (shares * weights).sum()


def require_colour(task: str, images: Images) -> None:
    """`InputError` for stored images without colours."""
    if images.channels != 3:
        raise InputError(
            f"pretext: {task!r} cannot work with images of {images.channels} channel(s), which have no colours; "
            "allowed: a source of colour images, or another pretext task"
        )


@functools.cache
def _table() -> Tensor:
    """Class of every cell of the plane, row by row; cells without a colour have that of the nearest."""
    axis = STEP * torch.arange(-_REACH, _REACH + 1, dtype=torch.float64, device="cpu")
    return torch.cdist(torch.cartesian_prod(axis, axis), centres()).argmin(dim=1)
