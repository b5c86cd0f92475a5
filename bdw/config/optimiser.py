"""How the model learns: SGD with heavy-ball momentum and weight decay."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bdw.config.checks import is_finite_positive, require
from bdw.config.fields import Basic


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """How the model learns: SGD with heavy-ball momentum and weight decay."""

    batch_size: Basic[int] = 64
    """k: source images in a step, over all workers."""
    learning_rate: Basic[float] = 0.1
    """alpha: learning rate of the encoder."""
    momentum: float = 0.9
    """Heavy-ball momentum of the encoder."""
    weight_decay: float = 1e-4
    """L2 penalty of the encoder's parameters."""
    seed: Basic[int] = 0
    """Seed of everything random in a run but the data's splits."""

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(is_finite_positive(self.learning_rate), "learning_rate", self.learning_rate, "a positive number")
        require(0 <= self.momentum < 1, "momentum", self.momentum, "0 <= value < 1")
        require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "0 or a positive number")
        require(self.seed >= 0, "seed", self.seed, "0 or more")
