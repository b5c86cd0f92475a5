"""The target's direction of a step, or its running mean over steps: one episode's gradient is mostly noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Direction = Mapping[str, Tensor]
"""v by names of parameters; a missing name stands for a zero block."""


class TargetGradient:
    """An exponential mean of directions v; with momentum 0 the last one, exactly.

    The mean lags behind the model by about momentum / (1 - momentum) steps that ask the target. Only the first of
    every `every` steps of learning in an epoch asks; the others compare with what it did: a mean over many steps hardly
    moves in one, and costs a meta pass each time.
    """

    def __init__(self, momentum: float = 0.0, every: int = 1, device: torch.device | None = None):
        """`device`: where a state is loaded to; where it lies if None."""
        self.momentum = momentum
        self.every = every
        self._device = device
        self._mean: Direction = {}
        self._steps = 0  # of learning since one asked, with that one; 0 where the next one has to

    @property
    def asks(self) -> bool:
        """Whether the step of learning that comes next asks the target for its direction."""
        return self._steps % self.every == 0 or not self._mean

    def begin_epoch(self) -> None:
        """The first step that learns asks, so that no epoch compares with the last one's directions alone."""
        self._steps = 0

    def follow(self, direction: Direction) -> Direction:
        """Take the direction of a step that asks in; returns what to compare instances' gradients with."""
        self._steps = 1
        if self.momentum and self._mean:
            direction = {n: torch.lerp(v, self._mean[n], self.momentum) for n, v in direction.items()}
        if self.momentum or self.every > 1:
            self._mean = direction
        return direction

    def again(self) -> Direction:
        """The same in a step that does not ask."""
        self._steps += 1
        return self._mean

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` continues from, bit for bit."""
        return {"mean": dict(self._mean), "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`."""
        self._mean = {name: value.to(self._device) for name, value in state["mean"].items()}
        self._steps = state["steps"]
