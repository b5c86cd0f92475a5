"""Squared pixel distance of every image to the nearest of others: exact, by blocked float32 matrix products.

|x - t|^2 = |x|^2 + |t|^2 - 2 <x, t> makes distances out of matrix products, but in float32 it cancels: two alike
pictures can come out at a distance of plus or minus anything below 1e-6 |x|^2. So the products only name the
candidates, all targets that may be nearest within the bound of the rounding error, and their distances are computed
anew from pixels in whole numbers. The result is exact, in whatever order a device sums.

Letters: n images, m targets, D pixels of an image over all channels.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.data.packed import PackedDataset
from bdw.storage.atomic_write import replacing

IMAGE_BLOCK, TARGET_BLOCK = 1024, 1024
"""Images and targets of one matrix product."""
_PAIR_VALUES = 2**24
"""Pixels compared at once when distances are computed anew."""
_UNIT = 2.0**-24
"""Largest relative error of one float32 operation."""
WHITE = 255

Progress = Callable[[int, int], None]
"""Called with images done and their number."""


def cached_nearest_distances(
    source: PackedDataset,
    targets: NDArray[np.uint8],
    folder: Path,
    compute: Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """What `compute(images, targets)` finds (n,), once: kept in a file named by both sides' contents."""
    digest = hashlib.sha256(repr(targets.shape).encode())
    digest.update(np.ascontiguousarray(targets).data)
    path = folder / f"nearest-exact-{source.content_key}-{digest.hexdigest()[:16]}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        kept = np.load(path, allow_pickle=False)
        if kept.shape == (len(source),) and kept.dtype == np.float64 and bool((kept >= 0).all()):
            return np.asarray(kept)
    distances = compute(source.images, targets)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, distances, allow_pickle=False)
    return distances


def nearest_distances(
    images: NDArray[np.uint8],
    targets: NDArray[np.uint8],
    device: torch.device,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """min_j |x_i - t_j|^2 (n,) of images (n, c, h, w) to targets (m, c, h, w), pixels taken as 0 to 1."""
    flat_targets = torch.from_numpy(np.array(targets).reshape(len(targets), -1)).to(device)
    # Small numbers round less; whole ones are exact in float32, and so is their difference to the centre.
    centre = flat_targets.sum(dim=0, dtype=torch.int64).div(len(targets), rounding_mode="floor").to(torch.int32)
    blocks = [_Block(flat_targets[i : i + TARGET_BLOCK], centre) for i in range(0, len(targets), TARGET_BLOCK)]
    squared = np.empty(len(images), dtype=np.int64)
    for start in range(0, len(images), IMAGE_BLOCK):
        part = np.array(images[start : start + IMAGE_BLOCK]).reshape(-1, flat_targets.shape[1])
        found = _nearest(torch.from_numpy(part).to(device), centre, blocks)
        squared[start : start + IMAGE_BLOCK] = found.cpu().numpy()
        if progress is not None:
            progress(min(start + IMAGE_BLOCK, len(images)), len(images))
    return squared / WHITE**2


class _Block:
    """Some targets (m, D) as they are, and their squared norms about the centre. Only the bytes stay in memory."""

    def __init__(self, pixels: Tensor, centre: Tensor):
        self.pixels = pixels
        self.norms = _about(pixels, centre)[1]


def _about(pixels: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels about the centre, float32 (b, D), exact, and their squared norms, float64 (b,), exact too."""
    shifted = pixels.to(torch.int32) - centre
    return shifted.to(torch.float32), shifted.square().sum(dim=1, dtype=torch.int64).to(torch.float64)


def _nearest(pixels: Tensor, centre: Tensor, blocks: list[_Block]) -> Tensor:
    """Squared distances int64 (b,) of these images (b, D) to their nearest targets, in steps of 1 / 255."""
    num_pixels = pixels.shape[1]
    pairs = max(1, _PAIR_VALUES // num_pixels)
    # A float32 dot product of length D is off by at most D u / (1 - D u) |x| |t| (Higham 2002, section 3.1), whatever
    # the order of summation; twice that is at most as much of |x|^2 + |t|^2.
    relative_error = num_pixels * _UNIT / (1 - num_pixels * _UNIT)
    centred, norms = _about(pixels, centre)
    best = torch.full((len(pixels),), torch.iinfo(torch.int64).max, device=pixels.device)
    for block in blocks:
        products = centred @ _about(block.pixels, centre)[0].T
        approximate = norms[:, None] + block.norms - 2 * products.to(torch.float64)
        error = relative_error * (norms + block.norms.max())
        bound = torch.minimum(approximate.min(dim=1).values + error, best.to(torch.float64))
        rows, columns = (approximate - error[:, None] <= bound[:, None]).nonzero(as_tuple=True)
        for some, others in zip(rows.split(pairs), columns.split(pairs), strict=True):
            difference = pixels[some].to(torch.int32) - block.pixels[others].to(torch.int32)
            best.scatter_reduce_(0, some, difference.square().sum(dim=1, dtype=torch.int64), "amin")
    return best
