"""Weights that never change: what training makes of a selector's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.weighting.weighters.protocol import Learns, WeightSample, WeightTable


class FixedWeights:
    """Weights (n,) float64, finite and not negative. An instance of weight 0 is pruned before the first epoch."""

    learns = Learns.NEVER
    learns_from_draw = False

    def __init__(self, weights: NDArray[np.float64]):
        self._weights = torch.from_numpy(np.array(weights, dtype=np.float64))

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """The weights (k,) as they are; nothing is drawn."""
        del generator
        return WeightSample(indices, self._weights[indices])

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """Nothing to learn."""

    def share(self) -> None:
        """Nothing to exchange."""

    def end_epoch(self) -> None:
        """Nothing to exchange."""

    def useless(self) -> NDArray[np.bool_]:
        """Weight 0: such an instance cannot move the model."""
        return np.asarray(self._weights.numpy() == 0)

    def freeze(self, rows: Tensor) -> None:
        """Nothing moves anyway."""

    def table(self) -> WeightTable:
        """The weights as means, variance 0, no (a, b)."""
        return WeightTable.of_means(self._weights.numpy().copy())

    def state_dict(self) -> dict[str, Tensor]:
        """The weights: a run goes on with those that it began with, whatever became of the file they came from."""
        return {"weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        self._weights.copy_(state["weights"])
