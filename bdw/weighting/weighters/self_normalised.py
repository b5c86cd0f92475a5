"""Weights divided by their mean over the batch (`normalise_weights`): an option beyond the paper, off by default.

Beta weights begin with mean 1/2 and drift, so a weighted step is shorter than a plain one, as if the learning rate had
been lowered; that alone explains part of the differences between BDW and plain training. With mean 1 the weights change
the direction of a step only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bdw.parallel import collectives
from bdw.weighting.weighters.protocol import WeightSample
from bdw.weighting.weighters.wrapped import Wrapped


class SelfNormalised(Wrapped):
    """Another weighter whose samples are divided by their mean over the batch of all workers, and over all columns.

    A batch whose weights are all 0 stays as it is. Table, pruning and state are the inner weighter's own.
    """

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """The inner weighter's weights (k,) times k / sum_j w_j, sum and k over all workers."""
        inner = self.inner.sample(indices, generator)
        weights = inner.weights.detach()
        total, instances = _totals(weights.sum(), weights.numel())
        factor = instances / total if total > 0 else 1.0
        return _NormalisedSample(indices, weights * factor, inner, factor, total)

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """The chain rule through the division: with u_i = c w_i, c = k / sum_j w_j,

        dL/dw_i = c (dL/du_i - sum_j w_j dL/du_j / sum_j w_j).
        """
        if not isinstance(sample, _NormalisedSample):
            self.inner.update(sample, gradient)
            return
        if sample.total > 0:
            gradient = gradient.to(torch.float64)
            aligned, _ = _totals((sample.inner.weights.detach() * gradient).sum(), gradient.numel())
            gradient = sample.factor * (gradient - aligned / sample.total)
        self.inner.update(sample.inner, gradient)


@dataclass(frozen=True)
class _NormalisedSample(WeightSample):
    """A sample that remembers what it was before; `factor` k / sum_j w_j and `total` sum_j w_j over all workers."""

    inner: WeightSample
    factor: float
    total: float


def _totals(value: Tensor, instances: int) -> tuple[float, float]:
    """A scalar and a number of instances, summed over the workers."""
    pair = torch.stack([value.to(torch.float64), torch.tensor(float(instances), dtype=torch.float64)])
    total, count = collectives.total(pair).tolist()
    return total, count
