"""Images that are nearly the same: re-encoded, shifted by a pixel, brighter or darker, in other colours.

Pairs whose perceptual hashes differ in few bits are candidates; all pairs are looked at, blockwise, so that none is
missed. A candidate counts if the low frequencies of the two correlate, and then their grey levels, at the best of nine
shifts. Images of a single grey are compared by that grey. The limits were chosen on 6,000 pictures of Tiny ImageNet at
32 pixels: hashes of pictures that are shifted by a pixel differ in at most 20 bits (99 % of them), their low
frequencies correlate with at least 0.8 (99 %), and no two different pictures got through (benchmarks/LOG.md). Images
that are almost a single grey are not found once they are re-encoded: the encoder's noise is as large as what they show.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from bdw.data.perceptual_hash import BITS, low_frequencies, perceptual_hashes

MOST_BITS = 20
"""Bits in which the hashes of near-duplicates differ, at most."""
LEAST_LOW_CORRELATION = 0.8
"""Of the low frequencies of near-duplicates, which is soon computed and leaves few candidates."""
LEAST_CORRELATION = 0.95
"""Of the grey levels of near-duplicates, at the best shift."""
BLANK = 1.0
"""Standard deviation in grey levels, of 255, up to which an image counts as a single grey."""
GREY_STEP = 4.0
"""Grey levels that two images of a single grey may differ in, about."""

_BLOCK = 2048
_PAIRS = 8192

Progress = Callable[[int, int | None], None]


def near_duplicate_groups(thumbnails: Tensor, progress: Progress | None = None) -> NDArray[np.int64]:
    """Which group each image belongs to, int64 (n,), of thumbnails uint8 (n, s, s); most groups have one image.

    Groups are connected: an image belongs to the group of any image that it nearly duplicates. Groups are numbered in
    the order of their first images. n images take n^2 / 2 comparisons of 64 bits. `progress` hears of images done.
    """
    count = len(thumbnails)
    grey, deviation = _levels(thumbnails)
    is_blank = deviation <= BLANK
    pairs = [_blank_pairs(grey, is_blank.nonzero().flatten())]
    pictures = (~is_blank).nonzero().flatten()
    frequencies = torch.cat([low_frequencies(thumbnails[some]) for some in pictures.split(_BLOCK)])
    low = frequencies.flatten(1)[:, 1:]
    low = low / low.norm(dim=1, keepdim=True).clamp(min=1e-6)
    for candidates in _candidates(perceptual_hashes(frequencies), low, progress):
        rows = pictures[candidates]
        alike = correlations(thumbnails[rows[:, 0]], thumbnails[rows[:, 1]]) >= LEAST_CORRELATION
        pairs.append(rows[alike])
    edges = torch.cat(pairs).numpy()
    graph = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    found: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    _, first, group = np.unique(found, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    numbers: NDArray[np.int64] = order[group]
    return numbers


class Described:
    """Pictures as they are compared: those of these thumbnails uint8 (n, s, s) that are no single grey."""

    def __init__(self, thumbnails: Tensor):
        self.rows = (_levels(thumbnails)[1] > BLANK).nonzero().flatten()
        """int64 (m,) of the pictures."""
        self.thumbnails = thumbnails[self.rows]
        frequencies = [low_frequencies(part) for part in self.thumbnails.split(_BLOCK)]
        joined = torch.cat(frequencies) if frequencies else torch.empty(0, 9, 9)
        low = joined.flatten(1)[:, 1:]
        self._low = low / low.norm(dim=1, keepdim=True).clamp(min=1e-6)
        self._hashes = perceptual_hashes(joined)

    def pairs(self, other: Described) -> Tensor:
        """Rows (p, 2) of the thumbnails of both that are nearly the same, first those of this one."""
        found = [torch.empty(0, 2, dtype=torch.int64)]
        blocks = itertools.product(range(0, len(self.rows), _BLOCK), range(0, len(other.rows), _BLOCK))
        for start, begin in blocks:
            hashes = other._hashes[begin : begin + _BLOCK]
            near = self._hashes[start : start + _BLOCK] @ hashes.T >= BITS - 2 * MOST_BITS
            for some in (near.nonzero() + torch.tensor([start, begin])).split(_PAIRS):
                alike = (self._low[some[:, 0]] * other._low[some[:, 1]]).sum(dim=1) >= LEAST_LOW_CORRELATION
                some = some[alike]
                alike = correlations(self.thumbnails[some[:, 0]], other.thumbnails[some[:, 1]]) >= LEAST_CORRELATION
                found.append(torch.stack([self.rows[some[alike, 0]], other.rows[some[alike, 1]]], dim=1))
        return torch.cat(found)


def _levels(thumbnails: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (n,) and standard deviation (n,) of the grey levels, blockwise: as float32 they are four times as large."""
    blocks = [torch.std_mean(part.flatten(1).float(), dim=1, correction=0) for part in thumbnails.split(_BLOCK)]
    return torch.cat([mean for _, mean in blocks]), torch.cat([deviation for deviation, _ in blocks])


def correlations(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's correlation (m,) of the grey levels of thumbnails (m, s, s), the largest of nine shifts of `other` by a
    pixel or none; the border takes no part."""
    side = one.shape[-1]
    inner = _standardised(one[:, 1:-1, 1:-1])
    best = torch.full((len(one),), -1.0)
    for down, right in itertools.product(range(3), repeat=2):
        shifted = _standardised(other[:, down : side - 2 + down, right : side - 2 + right])
        best = torch.maximum(best, (inner * shifted).sum(dim=1))
    return best


def _standardised(images: Tensor) -> Tensor:
    levels = images.flatten(1).float()
    levels -= levels.mean(dim=1, keepdim=True)
    sizes: Tensor = levels.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return levels / sizes


def _candidates(hashes: Tensor, low: Tensor, progress: Progress | None) -> Iterator[Tensor]:
    """Pairs (m, 2) of rows i < j, blockwise, whose hashes (n, 64) and low frequencies (n, d), of norm 1, are near."""
    least = BITS - 2 * MOST_BITS
    for start in range(0, len(hashes), _BLOCK):
        rows = hashes[start : start + _BLOCK]
        for other in range(start, len(hashes), _BLOCK):
            near = rows @ hashes[other : other + _BLOCK].T >= least
            if other == start:
                near = near.triu(diagonal=1)
            pairs = near.nonzero() + torch.tensor([start, other])
            for some in pairs.split(_PAIRS):
                yield some[(low[some[:, 0]] * low[some[:, 1]]).sum(dim=1) >= LEAST_LOW_CORRELATION]
        if progress is not None:
            progress(min(start + _BLOCK, len(hashes)), len(hashes))


def _blank_pairs(grey: Tensor, blank: Tensor) -> Tensor:
    """Pairs (m, 2) of these images of a single grey that have the same, to about `GREY_STEP`: each with the first."""
    if len(blank) == 0:
        return torch.empty(0, 2, dtype=torch.int64)
    _, inverse = torch.unique((grey[blank] / GREY_STEP).round(), return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), len(grey))
    first.scatter_reduce_(0, inverse, blank, "amin")
    return torch.stack([first[inverse], blank], dim=1)
