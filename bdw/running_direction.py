"""The target's direction of a step, or its running mean over steps: one episode's gradient is mostly noise."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class RunningDirection:
    """An exponential mean of directions v; with momentum 0 the last one, exactly.

    The mean lags behind the model by about momentum / (1 - momentum) steps of learning.
    """

    def __init__(self, momentum: float = 0.0):
        self.momentum = momentum
        self._mean: dict[str, Tensor] = {}

    def follow(self, direction: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take this step's direction in; returns what to compare instances' gradients with."""
        if self.momentum == 0:
            return direction
        if self._mean:
            direction = {n: torch.lerp(v, self._mean[n], self.momentum) for n, v in direction.items()}
        self._mean = direction
        return direction

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from, bit for bit."""
        return dict(self._mean)

    def load_state_dict(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        """Continue from `state_dict()`."""
        self._mean = {name: value.to(device) for name, value in state.items()}
