"""How the model learns: SGD with heavy-ball momentum, or AdamW."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bdw.config.checks import is_finite_positive, require
from bdw.config.fields import Basic


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """How the model learns: SGD with heavy-ball momentum, or AdamW."""

    optimiser: Literal["sgd", "adamw"] = "sgd"
    """`sgd` has heavy-ball momentum; `adamw` divides by the root of squared gradients (learning rates of 1e-4 to 1e-3),
    and the weights' derivatives take these divisors for constants."""
    batch_size: Basic[int] = 64
    """k: source images in a step, over all workers."""
    learning_rate: Basic[float] = 0.1
    """alpha: learning rate of the encoder."""
    momentum: float = 0.9
    """Heavy-ball momentum of the encoder; with `adamw` beta 1, the memory of its mean gradient."""
    second_moment: float = 0.999
    """`adamw`: beta 2, the memory of its mean squared gradient."""
    weight_decay: float = 1e-4
    """L2 penalty of the encoder's parameters; with `adamw` decoupled from the gradient (0.05 is usual)."""
    accumulate: int = 1
    """Parts of a worker's batch that pass through the model one after the other, which takes less memory. The step is
    that of the whole batch, but batch norm normalises each part by itself."""
    clip_norm: float | None = None
    """Largest norm of the gradient over all parameters; a longer one is shortened. None for any."""
    seed: Basic[int] = 0
    """Seed of everything random in a run but the data's splits."""

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(is_finite_positive(self.learning_rate), "learning_rate", self.learning_rate, "a positive number")
        require(0 <= self.momentum < 1, "momentum", self.momentum, "0 <= value < 1")
        require(0 <= self.second_moment < 1, "second_moment", self.second_moment, "0 <= value < 1")
        require(1 <= self.accumulate <= self.batch_size, "accumulate", self.accumulate, "1 to batch_size")
        require(
            self.clip_norm is None or is_finite_positive(self.clip_norm),
            "clip_norm",
            self.clip_norm,
            "a positive number, or none",
        )
        require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "0 or a positive number")
        require(self.seed >= 0, "seed", self.seed, "0 or more")
