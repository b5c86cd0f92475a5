"""Subsets and splits as pure functions of labels and a seed: indices in, sorted indices out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bdw.errors import InputError

Indices = NDArray[np.int64]

# Purposes have their own random streams, so that drawing a subset does not change a split made with the same seed.
_HOLD_OUT, _LIMIT, _SUBSET = 1, 2, 3

TARGET_STREAM = 2
"""Stream of `hold_out` that divides a data set between source and target; test and validation splits use 0 and 1."""


def hold_out(
    labels: NDArray[np.int64], fraction: float, seed: int, class_names: Sequence[str] | None = None, stream: int = 0
) -> tuple[Indices, Indices]:
    """(kept, held out) positions: `fraction` of every class, rounded, but at least one image on either side.

    Streams are independent of each other. InputError for a class of a single image, which cannot be on both sides.
    """
    held = []
    for label in np.unique(labels):
        members = _shuffled_members(labels, int(label), seed, _HOLD_OUT, stream)
        if len(members) < 2:
            name = class_names[label] if class_names is not None else str(label)
            raise InputError(
                f"class {name!r}: 1 image cannot be split in two; allowed: at least 2 images in every class"
            )
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held.append(members[:count])
    held_out = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def limit_per_class(labels: NDArray[np.int64], limit: int, seed: int) -> Indices:
    """At most `limit` positions of every class; a smaller limit takes a subset of what a larger one takes."""
    taken = [_shuffled_members(labels, int(label), seed, _LIMIT, 0)[:limit] for label in np.unique(labels)]
    return np.sort(np.concatenate(taken))


def subset(count: int, size: int, seed: int) -> Indices:
    """`size` of the positions 0 to count - 1 (all if there are fewer); a smaller size takes a subset of a larger."""
    return np.sort(np.random.default_rng([seed, _SUBSET]).permutation(count)[:size])


def _shuffled_members(labels: NDArray[np.int64], label: int, seed: int, purpose: int, stream: int) -> Indices:
    # A stream of its own for every class: one more image in one class leaves the others' splits alone.
    generator = np.random.default_rng([seed, purpose, stream, label])
    return generator.permutation(np.flatnonzero(labels == label))
