"""DataWeighter (DW), the BDW paper's ablation without a distribution: one number per instance, learnt directly.

Weights start at 0, SGD with momentum moves them, they are clipped to [0, 1], the gradient of a batch's weights is
scaled down to a norm of 10, and an instance is pruned iff w_i <= lambda (the paper's appendix and the authors' code).
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import WeighterConfig
from bdw.parallel import collectives
from bdw.weighting.instance_table import InstanceTable, Momentum
from bdw.weighting.weighters.learnt import LearntWeighter
from bdw.weighting.weighters.protocol import WeightSample, WeightTable

GRADIENT_CLIP = 10.0
"""Euclidean norm to which the gradient of a batch's weights is scaled down: the authors' setting."""


class PointWeighter(LearntWeighter):
    """w_i in [0, 1] for n instances, all 0 at the start. The table lives on the CPU in float32."""

    def __init__(
        self,
        num_instances: int,
        *,
        learning_rate: float,
        momentum: float,
        threshold: float,
        gradient_clip: float = GRADIENT_CLIP,
        columns: int = 1,
        dtype: torch.dtype = torch.float32,
    ):
        how = Momentum(learning_rate, momentum, low=0, high=1)
        super().__init__(InstanceTable(num_instances, 1, columns=columns, momentum=how, marks=("judged",), dtype=dtype))
        self.gradient_clip = gradient_clip
        self.threshold = threshold

    @classmethod
    def from_config(cls, config: WeighterConfig, num_instances: int, columns: int = 1) -> Self:
        """One weight for every source image and column, with the config's eta, momentum and lambda."""
        return cls(
            num_instances,
            learning_rate=config.weight_lr,
            momentum=config.weight_momentum,
            threshold=config.cdf_threshold,
            columns=columns,
        )

    def start(self, means: NDArray[np.float64]) -> None:
        """These weights in every column; nobody is judged before a gradient."""
        self.instances.start(torch.from_numpy(means).unsqueeze(0))

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """The weights (k,) or (k, c) as they are now; nothing is drawn."""
        del generator
        return WeightSample(indices, self.read(indices)[0])

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """One momentum step on the batch's weights; the norm that is limited is that of all workers' parts and of all
        columns together."""
        for column in range(self.columns):
            self.instances.mark("judged", sample.indices, column)
        gradient = gradient.to(torch.float64)
        norm = collectives.total(gradient.square().sum()).sqrt()
        self.step(sample.indices, (gradient * (self.gradient_clip / norm).clamp(max=1)).unsqueeze(0))

    def judged(self) -> NDArray[np.bool_]:
        """w_i <= lambda, among those that ever had a gradient: a weight of 0 before the first visit is the start, not a
        judgement."""
        return np.asarray((self._weights() <= self.threshold) & self.instances.marks["judged"].numpy())

    def useless_on_average(self, shares: NDArray[np.float64]) -> NDArray[np.bool_]:
        """sum_c p_c w_ic <= lambda, among instances that ever had a gradient."""
        means = shares @ self.instances.by_column(self._weights())
        judged = self.instances.by_column(self.instances.marks["judged"].numpy()).any(axis=0)
        return np.asarray((means <= self.threshold) & judged)

    def cell_table(self) -> WeightTable:
        """The weights as means, variance 0, no (a, b)."""
        return WeightTable.of_means(self._weights())

    def _weights(self) -> NDArray[np.float64]:
        return np.array(self.instances.values[0].numpy(), dtype=np.float64)
