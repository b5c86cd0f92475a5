"""What a run learnt of its images, regressed on what they look like, so that images it never saw get scores, too.

Two regressions on the same random functions of an image's description (`bdw.weighting.random_functions`): of its mean
weight, and of the logarithm of its evidence a + b. Both are Bayesian linear regressions whose noise and prior are
chosen by the evidence (MacKay, "Bayesian interpolation", 1992; Tipping, "Sparse Bayesian learning", 2001), as
scikit-learn's `BayesianRidge` computes them, in float64. An image's a is its mean times its evidence, b is the rest.
Not in the paper. Regressing log a and log b instead orders unseen images as well, with worse intervals
(benchmarks/LOG.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import BayesianRidge
from torch import Tensor

from bdw.weighting.random_functions import RandomFunctions, narrowed
from bdw.weighting.verdicts import NUM_FUNCTIONS, SHARPNESS

TWO_SIDED_95 = 1.959963984540054
"""Standard deviations of a normal distribution on either side of its mean between which 95 % of it lies."""

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Ratings:
    """What the rater says of n images, columns (n,)."""

    a: Column
    """Beta parameters; NaN where the run's weighter has none."""
    b: Column
    mean: Column
    """Mean weight, within the range of those that the run learnt."""
    low: Column
    """Ends of the 95 % interval of the mean weight that the run would have learnt of the image, within its bounds."""
    high: Column
    predicted: Column
    """The mean weight before it was brought into that range: what images are ranked by."""

    @classmethod
    def none(cls) -> Self:
        """Those of no image."""
        return cls(*(np.empty(0) for _ in fields(cls)))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The ratings of several sets of images as one, in order."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))


@dataclass(frozen=True)
class Rater:
    """The regressions; w functions, q quantities: the mean weight, and log(a + b) where there are a and b."""

    widths: Tensor
    """int64, numbers in each part of a description."""
    moments: Tensor
    """(2, d) means of a description's numbers and of their squares, by which they are standardised."""
    centre: Tensor
    """(w,) means of the functions over the images that were learnt from."""
    coefficients: Tensor
    """(w, q)."""
    intercepts: Tensor
    """(q,)."""
    covariance: Tensor
    """(w, w) posterior covariance of the mean weight's coefficients."""
    noise: Tensor
    """() variance of the mean weight about the regression."""
    ranges: Tensor
    """(2, q) smallest and largest value that was learnt from."""

    @classmethod
    def fit(cls, descriptions: Sequence[Tensor], mean: Column, total: Column | None) -> Self:
        """Learn from images with descriptions (m, d) each, mean weights (m,) and evidence a + b (m,), if there is
        any."""
        x = _joined(descriptions)
        moments = torch.stack([x.mean(dim=0), x.square().mean(dim=0)])
        widths = torch.tensor([narrowed(part[:1]).shape[1] for part in descriptions])
        values = _functions(widths)(x, *moments)[:, :-1]
        centre = values.mean(dim=0)
        quantities = [mean] if total is None else [mean, np.log(total)]
        fitted = [BayesianRidge().fit((values - centre).numpy(), quantity) for quantity in quantities]
        return cls(
            widths=widths,
            moments=moments,
            centre=centre,
            coefficients=torch.tensor(np.stack([each.coef_ for each in fitted], axis=1)),
            intercepts=torch.tensor([float(each.intercept_) for each in fitted], dtype=torch.float64),
            covariance=torch.tensor(fitted[0].sigma_),
            noise=torch.tensor(1 / fitted[0].alpha_, dtype=torch.float64),
            ranges=torch.tensor([[f(each) for each in quantities] for f in (np.min, np.max)], dtype=torch.float64),
        )

    def rate(self, descriptions: Sequence[Tensor]) -> Ratings:
        """The ratings of images with descriptions (m, d) each."""
        values = _functions(self.widths)(_joined(descriptions), *self.moments)[:, :-1] - self.centre
        said = values @ self.coefficients + self.intercepts
        within = said.clamp(self.ranges[0], self.ranges[1])
        mean = within[:, 0]
        deviation = ((values @ self.covariance * values).sum(dim=1) + self.noise).sqrt()
        # A Beta's mean lies between 0 and 1, other weights have no upper end.
        has_evidence = said.shape[1] > 1
        ends = [
            (said[:, 0] + sign * TWO_SIDED_95 * deviation).clamp(0, 1 if has_evidence else None).numpy()
            for sign in (-1, 1)
        ]
        total = within[:, 1].exp() if has_evidence else torch.full_like(mean, torch.nan)
        return Ratings(
            a=(mean * total).numpy(),
            b=((1 - mean) * total).numpy(),
            mean=mean.numpy(),
            low=np.minimum(ends[0], mean.numpy()),
            high=np.maximum(ends[1], mean.numpy()),
            predicted=said[:, 0].numpy(),
        )

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, for `of_tensors`."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The rater that `tensors` came from; `KeyError` if one is missing."""
        return cls(**{each.name: tensors[each.name] for each in fields(cls)})


def _functions(widths: Tensor) -> RandomFunctions:
    """Those of the verdicts, in float64."""
    return RandomFunctions(widths.tolist(), NUM_FUNCTIONS, sharpness=SHARPNESS)


def _joined(descriptions: Sequence[Tensor]) -> Tensor:
    return torch.cat([narrowed(part.detach().cpu().to(torch.float64)) for part in descriptions], dim=1)
