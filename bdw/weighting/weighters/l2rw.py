"""Learning to Reweight (L2RW; Ren, Zeng, Yang and Urtasun, "Learning to reweight examples for robust deep learning",
ICML 2018): weights of a batch from one meta-gradient, forgotten after the step.

A look-ahead with weights 0 starts the step. Plain SGD does not move along it, so it is theta itself, and the
meta-gradient is dL_meta/dw_i = -(alpha / k) <grad L_meta(theta), grad L_i(theta)>. (The look-ahead is plain SGD as in
their Algorithm 1; momentum and weight decay belong to the update that follows.) Then

    w_i = max(0, -dL_meta/dw_i) / sum_j max(0, -dL_meta/dw_j),

the sum being over the batch of all workers, and all weights 0 where that sum is; alpha / k cancels. The loss is
sum_i w_i L_i, a sum and no mean, so in our convention (1/k) sum_i w_i L_i the weights are k times as large.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import WeighterConfig
from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.weighting.instance_table import InstanceTable
from bdw.weighting.weighters.learnt import LearntWeighter
from bdw.weighting.weighters.protocol import Learns, WeightSample, WeightTable


class L2RWWeighter(LearntWeighter):
    """The last weight of each of n instances, k times its share of its batch; 0 until an instance is first visited."""

    learns = Learns.BEFORE_UPDATE
    learns_from_draw = False

    def __init__(self, num_instances: int):
        super().__init__(InstanceTable(num_instances, 1, dtype=torch.float64))

    @staticmethod
    def check(config: WeighterConfig) -> None:
        """`InputError` if weights are not to count in the loss, as they do nothing else, or are to be of tasks."""
        if config.weights_per != "image":
            raise InputError(
                f"weights_per: {config.weights_per!r} cannot work with weighter 'l2rw', whose weights are those of one "
                "batch; allowed: 'image', or weighter beta, counts, point"
            )
        if not config.weighted_loss:
            raise InputError(
                "weighted_loss: false cannot work with weighter 'l2rw', whose weights are those of one batch and prune "
                "nothing; allowed: true"
            )

    @classmethod
    def from_config(cls, config: WeighterConfig, num_instances: int, columns: int = 1) -> Self:
        """There is nothing to set."""
        assert columns == 1, "checked with the config"
        return cls(num_instances)

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """The last weights (k,) of these instances; nothing is drawn."""
        del generator
        return WeightSample(indices, self.instances.read(indices)[0])

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """The batch's weights from its meta-gradient (k,) at weights 0, k being this worker's part of the batch."""
        wanted = (-gradient.to(torch.float64)).clamp(min=0)
        batch = torch.stack([wanted.sum(), torch.tensor(float(len(wanted)), dtype=torch.float64)])
        wanted_by_all, instances = collectives.total(batch).tolist()
        weights = wanted * (instances / wanted_by_all) if wanted_by_all > 0 else wanted
        self.instances.write(sample.indices, weights.unsqueeze(0))

    def judged(self) -> NDArray[np.bool_]:
        """None: one batch's weight 0 says that the instance did not help at that moment, and nothing more."""
        return np.zeros(self.instances.values.shape[1], dtype=np.bool_)

    def cell_table(self) -> WeightTable:
        """The last weights as means, variance 0, no (a, b)."""
        return WeightTable.of_means(self.instances.values[0].numpy().copy())
