"""Weights that only decide what is pruned (`weighted_loss` off): an option beyond the paper.

A mean weighted by random draws averages over fewer images than a plain one: with weights from the uniform prior a batch
counts as three quarters of itself (the square of their mean over their mean square). Here every image that is kept
counts as much as any other, as in plain training, and weights learn all the same, from the meta-gradient at weight 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bdw.weighting.weighters.protocol import WeightSample
from bdw.weighting.weighters.wrapped import Wrapped


class EqualLoss(Wrapped):
    """Another weighter whose samples all weigh 1 in the loss."""

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """Weights of 1 (k,) or (k, c), beside those that the inner weighter draws, if it has to."""
        shape = (len(indices),) if self.columns == 1 else (len(indices), self.columns)
        ones = torch.ones(shape, dtype=torch.float64)
        inner = self.inner.sample(indices, generator) if self.learns_from_draw else WeightSample(indices, ones)
        return _EqualSample(indices, ones, inner)

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """The inner weighter's, from dL_meta/dw (k,) at weight 1 in place of that at the weights it drew."""
        assert isinstance(sample, _EqualSample)
        self.inner.update(sample.inner, gradient)


@dataclass(frozen=True)
class _EqualSample(WeightSample):
    """A sample that remembers what the inner weighter is to learn from."""

    inner: WeightSample
