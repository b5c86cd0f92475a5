"""Whether one image is a part of another, cut out at any place and at many scales.

The part is laid over every window of the whole, which is brought to rising sizes, and the best correlation of details
decides: of what is left of an image without its local means, since all that is smooth looks alike. A coarse look in
grey finds the scale, a fine one in colour around it says how well the two agree. Products over all windows are made by
Fourier transforms, their sizes by sums over windows (Lewis, "Fast normalized cross-correlation", 1995). Turned and
stretched parts are not found.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

LARGEST = 96
"""Pixels a side at most of the images that are compared."""
BLANK = 2.0
"""Standard deviation of details in grey levels, of 255, up to which a part shows too little to be told from others."""
HOPEFUL = 0.6
"""Correlation in the coarse look from which on a fine one is taken."""


class _Look(NamedTuple):
    """How closely two images are compared."""

    side: int
    """Pixels to which the part is brought."""
    reach: int
    """Pixels to each side over which a local mean is taken."""


_COARSE, _FINE = _Look(24, 3), _Look(36, 4)
_SCALES = tuple(1.06**step for step in range(14))
"""Side of the whole over that of the part, in the coarse look: up to 2.1."""
_AROUND = tuple(1.015**step for step in range(-4, 5))
"""Times the scale that was found, in the fine one."""


def comparable(images: NDArray[np.uint8]) -> Tensor:
    """Float32 (n, c, s, s) of square uint8 images (n, c, h, h), s being `LARGEST` or h, if that is smaller."""
    levels = torch.from_numpy(np.array(images)).float()
    return _resized(levels, LARGEST) if levels.shape[-1] > LARGEST else levels


def containments(wholes: Tensor, parts: Tensor) -> Tensor:
    """Correlation (p,) of each part (p, c, s, s) with the window of its whole that suits it best, -1 to 1.

    A single whole (1, c, t, t) serves all parts. Parts that are nearly a single colour have -1, those that are no hope
    in the coarse look what they had there.
    """
    sides = tuple(dict.fromkeys(round(_COARSE.side * scale) for scale in _SCALES))
    found, places = _correlations(wholes.mean(dim=1, keepdim=True), parts.mean(dim=1, keepdim=True), sides, _COARSE)
    for index in (found >= HOPEFUL).nonzero().flatten().tolist():
        scale = sides[int(places[index])] / _COARSE.side
        near = dict.fromkeys(max(_FINE.side, round(_FINE.side * scale * step)) for step in _AROUND)
        whole = wholes if len(wholes) == 1 else wholes[index : index + 1]
        found[index] = _correlations(whole, parts[index : index + 1], tuple(near), _FINE)[0]
    return found


def _correlations(wholes: Tensor, parts: Tensor, sides: tuple[int, ...], look: _Look) -> tuple[Tensor, Tensor]:
    """The largest correlation (p,) over all windows of wholes of these sides, and which of these it has."""
    template = _details(_resized(parts, look.side), look)
    norms, least = template.flatten(1).norm(dim=1), BLANK * look.side * template.shape[1] ** 0.5
    template = template / norms.clamp(min=1e-6)[:, None, None, None]
    size = (max(sides), max(sides))  # As large as the whole: no window that is looked at wraps around.
    transformed = torch.fft.rfft2(template, s=size).conj()
    found = []
    for side in sides:
        scaled = _details(_resized(wholes, side), look)
        count = side - look.side + 1
        products = torch.fft.irfft2((torch.fft.rfft2(scaled, s=size) * transformed).sum(dim=1), s=size)
        sizes = _window_sums(scaled.square().sum(dim=1), look.side).clamp(min=least**2).sqrt()
        found.append((products[:, :count, :count] / sizes).amax(dim=(1, 2)))
    best, places = torch.stack(found).max(dim=0)
    return torch.where(norms > least, best, torch.tensor(-1.0)), places


def _details(images: Tensor, look: _Look) -> Tensor:
    """The images (n, c, s, s) without their local means."""
    padded = pad(images, (look.reach,) * 4, mode="reflect")
    return images - avg_pool2d(padded, 2 * look.reach + 1, 1)


def _window_sums(images: Tensor, side: int) -> Tensor:
    """Over every window of that side (n, t, t) of images (n, s, s)."""
    total = pad(images.double().cumsum(dim=1).cumsum(dim=2), (1, 0, 1, 0))
    last, first = slice(side, None), slice(None, -side)
    found = total[:, last, last] - total[:, first, last] - total[:, last, first] + total[:, first, first]
    return found.float()


def _resized(images: Tensor, side: int) -> Tensor:
    if images.shape[-1] == side:
        return images
    return interpolate(images, size=(side, side), mode="bilinear", antialias=True)
