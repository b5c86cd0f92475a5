"""What a selector is: who gives the weights of a run before training."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from bdw.config import WeighterConfig
from bdw.data import Problem
from bdw.data.problem import LabelledProgress


@dataclass(frozen=True, kw_only=True)
class Toolkit:
    """What a selector may use beside the problem."""

    device: torch.device
    """Where to compute."""
    cache_dir: Path
    """Where to keep what takes long to compute."""
    seed: int
    """Of what is drawn at random."""
    progress: LabelledProgress | None = None
    """Told what is being computed, how many instances are done and of how many."""


class Acts(enum.Flag):
    """How fixed weights can change training."""

    IN_LOSS = enum.auto()
    """They differ between instances, so that losses count differently."""
    BY_PRUNING = enum.auto()
    """Some may be 0, which prunes an instance before the first epoch."""


class Selector(Protocol):
    """Gives every source instance a weight before training. It may compute, draw, and keep results in the cache."""

    acts: ClassVar[Acts]

    @classmethod
    def from_config(cls, config: WeighterConfig) -> Self:
        """The selector with the config's options; `InputError` if these alone cannot work."""

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """Weights (n,), finite, not negative, not all 0; the same for the same problem and seed.

        `InputError` if the selector cannot work with the problem. Only the oracle may look at what was planted.
        """
