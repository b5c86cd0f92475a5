"""Beta distributions as counts of evidence: every visit that says "helps" adds to a_i, every other one to b_i.

BetaDataWeighter moves log a and log b by a gradient through one sample of the weight, whose size depends on the sample,
on how far training has come and on how easy the image is. What is left of the meta-gradient here is its sign: the
conjugate update of a Beta prior by Bernoulli observations. Not in the paper; an option beside its own `beta`.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from bdw.config import WeighterConfig
from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.protocol import WeightSample


class CountsWeighter(BetaWeighter):
    """(a_i, b_i) for n instances, both 1 at the start: the uniform prior. Sampling and pruning are BDW's.

    The table holds log a and log b, as BDW's does, so that everything that reads one reads the other.
    """

    learns_from_draw = False

    def __init__(
        self,
        num_instances: int,
        *,
        evidence: float,
        log_bound: float,
        cdf_threshold: float,
        density_threshold: float,
        columns: int = 1,
        dtype: torch.dtype = torch.float32,
    ):
        # Steps of size 1 without momentum: a row moves by what `update` says, and rests between visits.
        super().__init__(
            num_instances,
            learning_rate=1.0,
            momentum=0.0,
            log_bound=log_bound,
            cdf_threshold=cdf_threshold,
            density_threshold=density_threshold,
            columns=columns,
            dtype=dtype,
        )
        self.evidence = evidence

    @classmethod
    def from_config(cls, config: WeighterConfig, num_instances: int, columns: int = 1) -> Self:
        """One pair of counts for every source image and column; eta is what one visit adds."""
        return cls(
            num_instances,
            evidence=config.weight_lr,
            log_bound=config.log_bound,
            cdf_threshold=config.cdf_threshold,
            density_threshold=config.density_threshold,
            columns=columns,
        )

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """Count the signs of dL_meta/dw (k,) or (k, c): below 0 more weight would have helped, above 0 harmed."""
        votes = torch.stack([gradient < 0, gradient > 0])
        self.step(sample.indices, self._counted(self.read(sample.indices), votes))

    def judge(self, indices: Tensor, helps: Tensor, column: int = 0) -> None:
        """Count verdicts: each of these instances (k,) helps with that probability (k,), which adds so much of a visit
        to a and the rest of it to b, in that column."""
        logs = self.instances.read(indices, column)
        self.instances.step(indices, self._counted(logs, torch.stack([helps, 1 - helps])), column)

    def _counted(self, logs: Tensor, votes: Tensor) -> Tensor:
        """log(a + votes) - log a, as what is subtracted."""
        return -torch.log1p(self.evidence * votes.to(logs) * torch.exp(-logs))
