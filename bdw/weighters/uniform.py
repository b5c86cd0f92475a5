"""Weight 1 for every instance, never learnt, never pruned: plain self-supervised training (RotNet)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import WeighterConfig
from bdw.weighters import WeightSample, WeightTable


class UniformWeighter:
    """Plain training through the very same loop."""

    learns = False

    def __init__(self, num_instances: int):
        self._n = num_instances

    @classmethod
    def from_config(cls, num_instances: int, config: WeighterConfig) -> Self:
        """For that many instances; the config has nothing to say."""
        del config
        return cls(num_instances)

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """Ones (k,); nothing is drawn."""
        del generator
        return WeightSample(indices, torch.ones(len(indices), dtype=torch.float64))

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """Nothing to learn."""

    def end_epoch(self) -> None:
        """Nothing to exchange."""

    def useless(self) -> NDArray[np.bool_]:
        """No instance is."""
        return np.zeros(self._n, dtype=np.bool_)

    def freeze(self, rows: Tensor) -> None:
        """Nothing moves anyway."""

    def table(self) -> WeightTable:
        """Mean 1, variance 0, no (a, b)."""
        nothing = np.full(self._n, np.nan)
        return WeightTable(a=nothing, b=nothing, mean=np.ones(self._n), variance=np.zeros(self._n))

    def state_dict(self) -> dict[str, Tensor]:
        """Empty."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Nothing to restore."""
