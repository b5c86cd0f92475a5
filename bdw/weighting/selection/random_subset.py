"""A random subset: plain training on a share of the images that is drawn once. The control of every pruning method.

What a method gains over a random subset of the size that it keeps, it gains by its choice, not by the size.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from bdw.config import WeighterConfig
from bdw.errors import InputError
from bdw.weighting.selection.fixed_weights import FixedWeighter
from bdw.weighting.weighters.protocol import WeighterContext


class RandomSubsetWeighter(FixedWeighter):
    """Weight 1 for the drawn instances, 0 for all others, which are pruned before the first epoch."""

    @staticmethod
    def check(config: WeighterConfig) -> None:
        """`InputError` without the share."""
        if config.kept_share is None:
            raise InputError("kept_share: weighter 'random' needs the share to keep; allowed: above 0, at most 1")

    @classmethod
    def from_context(cls, context: WeighterContext) -> Self:
        """`kept_share` of the source, rounded, at least one instance; drawn by the run's seed."""
        share = context.config.kept_share
        assert share is not None, "checked with the config"
        count = len(context.source)
        weights = np.zeros(count)
        weights[np.random.default_rng([context.seed, 30]).permutation(count)[: max(1, round(share * count))]] = 1
        return cls(weights)
