"""Images of the source that are parts of the target's validation or test images, or hold them as a part.

A second look beside `bdw.data.leaks`, which finds only whole images. Features propose pairs: thirty windows of every
held-out image and of its mirror image retrieve the nearest images of the source by cosine. Registration decides
(`bdw.data.crops`): the one must correlate with a window of the other. So an encoder that tells little costs recall,
not precision. The limits were chosen on planted crops of Tiny ImageNet (benchmarks/LOG.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from bdw.data import crops
from bdw.data.leaks import HeldOut, Leak, Progress
from bdw.data.packed import PackedDataset

LEAST_CORRELATION = 0.78
"""Of the details of a crop with the window that it was cut from."""
RETRIEVED = 2
"""Images of the source that each window retrieves."""
WINDOWS = tuple(
    (down / max(count - 1, 1) * (1 - side), right / max(count - 1, 1) * (1 - side), side)
    for side, count in ((1.0, 1), (0.85, 2), (0.7, 3), (0.55, 4))
    for down, right in itertools.product(range(count), repeat=2)
)
"""Top, left and side of what is looked up, as shares of the image: all of it first, then evenly over it."""
SMALL = 8
"""Pixels a side of the features that need no encoder."""
_BLOCK = 1024

Features = NDArray[np.float32]
Embed = Callable[[NDArray[np.uint8]], Features]
"""Features (n, d) of images uint8 (n, c, h, h)."""


def small_pictures(images: NDArray[np.uint8]) -> Features:
    """Features that need no encoder: the colours at `SMALL` pixels a side (n, 64 c)."""
    small = interpolate(torch.from_numpy(np.array(images)).float(), (SMALL, SMALL), mode="bilinear", antialias=True)
    small = small - small.mean(dim=(1, 2, 3), keepdim=True)
    return np.asarray(small.flatten(1).numpy())


def find_cropped_leaks(
    source: PackedDataset, held_out: HeldOut, embed: Embed, progress: Progress | None = None
) -> tuple[Leak, ...]:
    """Images of the source that are parts of held-out ones or hold them, in the order of the source; each is told once
    a split, with the held-out image that it suits best. Splits whose images have another shape than the source's, or
    are no squares, have none. `progress` hears of images that were embedded, then of held-out images."""
    shape = source.images.shape[1:]
    known = {split: images for split, (images, _) in held_out.items() if len(images) and images.shape[1:] == shape}
    if not known or shape[1] != shape[2]:
        return ()
    features = _embedded(source.images, embed, progress)
    middle = features.mean(dim=0)
    features = _directions(features - middle)
    found: dict[tuple[int, str], tuple[float, int]] = {}
    total, done = sum(map(len, known.values())), 0
    for split, images in known.items():
        for column, image in enumerate(images):
            proposed = _proposed(image, embed, middle, features)
            for row, correlation in _registered(source.images, image, proposed):
                if correlation > found.get((row, split), (LEAST_CORRELATION, 0))[0]:
                    found[row, split] = correlation, column
            done += 1
            if progress is not None:
                progress(done, total)
    return tuple(
        Leak(row, str(source.names[row]), split, str(held_out[split][1][column]), is_crop=True)
        for (row, split), (_, column) in sorted(found.items())
    )


class _Proposed(NamedTuple):
    """Rows of the source that a held-out image's windows retrieve."""

    of_windows: tuple[Sequence[int], Sequence[int]]
    """Of the image, and of its mirror image."""
    of_whole: tuple[Sequence[int], Sequence[int]]


def _proposed(image: NDArray[np.uint8], embed: Embed, middle: Tensor, features: Tensor) -> _Proposed:
    windows = _windows(image)
    both = np.concatenate([windows, windows[..., ::-1]])
    cosines = _directions(torch.from_numpy(embed(both)) - middle) @ features.T
    rows = cosines.topk(min(RETRIEVED, len(features)), dim=1).indices.unflatten(0, (2, len(windows)))
    plain, mirrored = rows
    return _Proposed((plain.unique().tolist(), mirrored.unique().tolist()), (plain[0].tolist(), mirrored[0].tolist()))


def _windows(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (w, c, h, h): the windows at the image's own size."""
    side = image.shape[-1]
    whole = torch.from_numpy(np.array(image)).float()[None]
    found = []
    for down, right, share in WINDOWS:
        top, left, size = round(down * side), round(right * side), round(share * side)
        part = whole[..., top : top + size, left : left + size]
        found.append(interpolate(part, size=(side, side), mode="bilinear", antialias=True))
    return np.asarray(torch.cat(found).round().clamp(0, 255).to(torch.uint8).numpy())


def _registered(pool: NDArray[np.uint8], image: NDArray[np.uint8], proposed: _Proposed) -> Iterator[tuple[int, float]]:
    """Rows and their correlations: as a part of the image, and with the image as a part of them."""
    whole = crops.comparable(image[None])
    for rows, holders, flipped in zip(proposed.of_windows, proposed.of_whole, (False, True), strict=True):
        mirror = whole.flip(-1) if flipped else whole
        yield from zip(rows, crops.containments(mirror, crops.comparable(pool[rows])).tolist(), strict=True)
        found = crops.containments(crops.comparable(pool[holders]), mirror.expand(len(holders), -1, -1, -1))
        yield from zip(holders, found.tolist(), strict=True)


def _embedded(images: NDArray[np.uint8], embed: Embed, progress: Progress | None) -> Tensor:
    parts = []
    for start in range(0, len(images), _BLOCK):
        parts.append(torch.from_numpy(embed(np.array(images[start : start + _BLOCK]))))
        if progress is not None:
            progress(min(start + _BLOCK, len(images)), len(images))
    return torch.cat(parts)


def _directions(rows: Tensor) -> Tensor:
    found: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return found
