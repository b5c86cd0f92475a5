"""Weights of one image for several targets, and the one weight that it is trained with (`combine_targets`).

Every target has a column of weights w_ic. The loss is weighted with w_i = f(w_i1, ..., w_iC), so that target c's
meta-loss moves its own column alone, by the chain rule: dL_c/dw_ic = dL_c/dw_i df/dw_ic. Not in the paper.

* `union`: w_i = max_c w_ic. An image goes when all columns find it useless.
* `mean`: w_i = sum_c p_c w_ic. An image goes by the weighter's rule on the mixture of its columns.
* `vote`: the same weight; an image goes when the columns that would keep it count less than `vote_share`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.weighting.weighters.learnt import LearntWeighter
from bdw.weighting.weighters.protocol import WeightSample, WeightTable
from bdw.weighting.weighters.wrapped import Wrapped

Combination = Literal["union", "mean", "vote"]
_ROUNDING = 1e-9
"""By so much a sum of shares may fall short of a bound that it meets exactly."""


class OfTargets(Wrapped):
    """A weighter with a column for every target, whose instances weigh one number in the loss."""

    columns = 1  # of what `sample` gives; `column_tables` has one for every target.

    def __init__(
        self, inner: LearntWeighter, combination: Combination, shares: Sequence[float] = (), vote_share: float = 0.5
    ):
        """`shares`: what each target counts in mean and vote, in any unit; the same if none are given."""
        assert not shares or len(shares) == inner.columns, "checked with the config"
        super().__init__(inner)  # type: ignore[arg-type]
        self._learnt = inner
        self._combination, self._vote_share = combination, vote_share
        given = np.array(shares or np.ones(inner.columns), dtype=np.float64)
        self.shares = given / given.sum()
        """(c,) of 1."""

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """One weight (k,) an instance, of weights that are drawn for every target."""
        inner = self.inner.sample(indices, generator)
        weights = inner.weights.detach()
        if self._combination == "union":
            combined = weights.amax(dim=1)
            # Equals share what they do together, as in `torch.amax`'s own derivative.
            highest = (weights == combined.unsqueeze(1)).to(weights)
            factors = highest / highest.sum(dim=1, keepdim=True)
        else:
            shares = torch.from_numpy(self.shares).to(weights)
            combined, factors = weights @ shares, shares.expand_as(weights)
        return _CombinedSample(indices, combined, inner, factors)

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """The inner weighter's, from dL_c/dw_i (k, c). A sample that nothing was drawn for has dL_c/dw_ic itself."""
        if isinstance(sample, _CombinedSample):
            self.inner.update(sample.inner, gradient.to(torch.float64) * sample.factors)
        else:
            self.inner.update(sample, gradient)

    def useless(self) -> NDArray[np.bool_]:
        """(n,) by the rule of the combination; see the module."""
        if self._combination == "union":
            return self.inner.useless()
        if self._combination == "mean":
            return self._learnt.useless_on_average(self.shares)
        keeping = ~self.useless_columns() @ self.shares
        return np.asarray(keeping < self._vote_share - _ROUNDING)

    def table(self) -> WeightTable:
        """Of the column with the highest mean weight (`union`), or of the mean over the columns, which are drawn
        independently; that has no (a, b)."""
        columns = self.column_tables()
        means = np.stack([each.mean for each in columns])
        if self._combination == "union":
            best, row = means.argmax(axis=0), np.arange(means.shape[1])
            return WeightTable(
                **{name: np.stack([vars(each)[name] for each in columns])[best, row] for name in vars(columns[0])}
            )
        none = np.full(means.shape[1], np.nan)
        variance = self.shares**2 @ np.stack([each.variance for each in columns])
        return WeightTable(a=none, b=none.copy(), mean=self.shares @ means, variance=variance)


@dataclass(frozen=True)
class _CombinedSample(WeightSample):
    """A sample that remembers the weights of the columns, and what each adds: df/dw_ic (k, c)."""

    inner: WeightSample
    factors: Tensor
