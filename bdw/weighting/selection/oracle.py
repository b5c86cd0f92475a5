"""The oracle (the paper's Table 1): plain training on those source images alone that are known to be useful.

It is the upper end of every comparison, no rival: no method sees what was planted, and this is the only selector that
looks.
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
class Oracle:
    """Weight 1 for planted useful instances, 0 for all others, which are pruned before the first epoch."""

    acts: ClassVar[Acts] = Acts.IN_LOSS | Acts.BY_PRUNING

    @classmethod
    def from_config(cls, config: WeighterConfig) -> Self:
        """There is nothing to set."""
        return cls()

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """From the source's planted tags; `InputError` where nothing was planted or nothing useful was."""
        planted = problem.source.planted
        if planted is None or not (planted == 1).any():
            known = "nothing is known about its images" if planted is None else "it holds no planted useful image"
            raise InputError(
                f"weighter: 'oracle' cannot work with the source {problem.source.path}: {known}; allowed: a source "
                "with planted tags, such as digits, or a mixture that the target is a member of"
            )
        return np.asarray(planted == 1, dtype=np.float64)
