"""Weight 1 for every instance, never learnt, never pruned: plain self-supervised training (RotNet, VAE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import WeighterConfig
from bdw.data import Problem
from bdw.weighting.selection.protocol import Acts, Toolkit


@dataclass(frozen=True)
class Uniform:
    """Plain training through the very same loop."""

    acts: ClassVar[Acts] = Acts(0)

    @classmethod
    def from_config(cls, config: WeighterConfig) -> Self:
        """There is nothing to set."""
        return cls()

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """Ones (n,)."""
        return np.ones(len(problem.source))
