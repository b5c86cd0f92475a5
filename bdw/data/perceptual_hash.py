"""A short description of an image that small changes leave nearly as it is: 64 bits, compared by Hamming distance.

The hash is that of Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010: the image in
grey at 32 x 32 pixels, of its discrete cosine transform the 8 x 8 lowest frequencies without the mean's row and column,
each compared with their median. Brightness and contrast do not change it, nor does colour.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

BITS = 64
SIDE = 32
"""Pixels to which larger images are brought. Smaller ones stay as they are: a shift by a pixel remains one."""
_LOW = 8
"""Frequencies above 0 that are kept on either axis."""


def grey_thumbnails(images: Tensor) -> Tensor:
    """uint8 (n, s, s) of square uint8 images (n, c, h, h), s being `SIDE` or h, if that is smaller; channels are
    averaged."""
    grey = images.float().mean(dim=1, keepdim=True)
    if grey.shape[-1] > SIDE:
        grey = interpolate(grey, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return grey.squeeze(1).round().clamp(0, 255).to(torch.uint8)


def low_frequencies(thumbnails: Tensor) -> Tensor:
    """Float32 (n, 9, 9): the lowest frequencies of the orthonormal cosine transform of thumbnails (n, s, s)."""
    transform = _cosines(thumbnails.shape[-1]).to(thumbnails.device)
    return transform @ thumbnails.float() @ transform.T


def perceptual_hashes(frequencies: Tensor) -> Tensor:
    """The bits of images with these low frequencies (n, 9, 9), as float32 (n, 64), each 1 or -1: two images differ in
    (64 - product of their rows) / 2 bits."""
    waves = frequencies[:, 1:, 1:].flatten(1)
    return torch.where(waves > waves.median(dim=1, keepdim=True).values, 1.0, -1.0)


@functools.cache
def _cosines(side: int) -> Tensor:
    """(9, side): rows 0 to 8 of the orthonormal discrete cosine transform (DCT-II) of so many numbers."""
    positions, frequencies = torch.arange(side) + 0.5, torch.arange(_LOW + 1)
    waves = torch.cos(math.pi / side * frequencies[:, None] * positions) * math.sqrt(2 / side)
    waves[0] /= math.sqrt(2)
    return waves
