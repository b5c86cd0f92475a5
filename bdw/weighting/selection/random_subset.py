"""A random subset: plain training on a share of the images that is drawn once. The control of every pruning method.

What a method gains over a random subset of the size that it keeps, it gains by its choice, not by the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import WeighterConfig
from bdw.data import Problem
from bdw.errors import InputError
from bdw.weighting.selection.protocol import Acts, Toolkit


@dataclass(frozen=True)
class RandomSubset:
    """Weight 1 for the drawn instances, 0 for all others, which are pruned before the first epoch."""

    share: float
    """Of the source that is kept, above 0, at most 1."""
    acts: ClassVar[Acts] = Acts.IN_LOSS | Acts.BY_PRUNING

    @classmethod
    def from_config(cls, config: WeighterConfig) -> Self:
        """With the config's `kept_share`; `InputError` without it."""
        if config.kept_share is None:
            raise InputError("kept_share: weighter 'random' needs the share to keep; allowed: above 0, at most 1")
        return cls(config.kept_share)

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """The share of the source, rounded, at least one instance; drawn by the run's seed."""
        count = len(problem.source)
        weights = np.zeros(count)
        kept = max(1, round(self.share * count))
        weights[np.random.default_rng([toolkit.seed, 30]).permutation(count)[:kept]] = 1
        return weights
