"""A random choice: the control that every other choice of the same size is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import SelectorConfig
from bdw.data import Problem
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.selection.size import Size, by_name, weights_of


@dataclass(frozen=True)
class RandomImages:
    """So many images, drawn by the run's seed."""

    size: Size

    @classmethod
    def from_config(cls, config: SelectorConfig) -> Self:
        """With the config's size, which it needs."""
        return cls(Size.of(config))

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """1 for the drawn images (n,). A larger choice by the same seed holds a smaller one."""
        count = len(problem.source)
        generator = np.random.default_rng([toolkit.seed, RANDOM])
        rows = generator.permutation(count)[: self.size.of_all(count)]
        return weights_of(by_name(problem.source)[rows], count)


RANDOM = 33
"""Stream of random numbers, beside those of other selectors."""
