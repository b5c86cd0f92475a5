"""A pool in shards: images are decoded, handled a batch at a time, and forgotten; nothing but a batch is in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdw.data.instances import Part, Skipped
from bdw.evaluation.features import BATCH_SIZE
from bdw.scoring.rater import Ratings
from bdw.scoring.scorer import Scorer

SHARD = 4096
"""Images of a shard: what is lost at most when scoring is interrupted, and what a worker gets at a time."""

OnBatch = Callable[[int], None]
"""Called with the number of images that were decoded since the last time, skipped ones included."""


@dataclass(frozen=True)
class ScoredShard:
    """The scores of one shard."""

    names: list[str]
    ratings: Ratings
    skipped: list[dict[str, Any]]
    """Images that cannot be used: name and reason, as headers of packed data sets list them."""


def shards(count: int) -> list[range]:
    """The rows of each shard of so many images."""
    return [range(start, min(start + SHARD, count)) for start in range(0, count, SHARD)]


def batches(
    part: Part, rows: Sequence[int], skipped: list[dict[str, Any]], on_batch: OnBatch | None = None
) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
    """Names and images (m, c, h, w) of these rows, in order; those that cannot be used go onto the list `skipped`."""
    chosen = dataclasses.replace(part.select(np.asarray(rows, dtype=np.int64)), unused=())
    names: list[str] = []
    images: list[NDArray[np.uint8]] = []
    done = 0
    for number, each in enumerate(chosen.instances(), start=1):
        if isinstance(each, Skipped):
            skipped.append(each.entry())
        else:
            names.append(each.name)
            images.append(each.image)
        if len(images) == BATCH_SIZE or (number == len(chosen) and images):
            yield names, np.stack(images)
            names, images = [], []
            if on_batch is not None:
                on_batch(number - done)
                done = number
    if on_batch is not None and done < len(chosen):
        on_batch(len(chosen) - done)


def score_shard(part: Part, rows: Sequence[int], scorer: Scorer, on_batch: OnBatch | None = None) -> ScoredShard:
    """The scores of these rows of the pool."""
    names: list[str] = []
    ratings: list[Ratings] = [Ratings.none()]
    skipped: list[dict[str, Any]] = []
    for some, images in batches(part, rows, skipped, on_batch):
        names += some
        ratings.append(scorer(images))
    return ScoredShard(names, Ratings.joined(ratings), skipped)
