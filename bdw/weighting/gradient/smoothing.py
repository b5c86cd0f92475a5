"""What one visit says of an image, read off all images that look alike to the encoder.

One derivative <v, grad L_i> is mostly noise and an instance is visited once an epoch, but images that the encoder takes
for similar help or harm alike. So derivatives are regressed on features as training goes, and every image gets what the
regression predicts for it and a little of its own: Bayesian linear regression on random functions (see
`bdw.weighting.random_functions`), older visits counting less and less. Images are described in two ways, by what the
encoder makes of them and by their colours, to which it may be blind; the regression is a sum of a function of each and
finds out which one matters. Descriptions only say who shares evidence: the evidence is that of the meta-gradient. An
image that was never visited before gets a prediction, too. Not in the paper.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bdw.parallel import collectives
from bdw.weighting.gradient.transforms import Visit
from bdw.weighting.random_functions import RandomFunctions

NUM_FUNCTIONS = 256
"""Random functions of all descriptions together, and a constant beside them."""
NOISE = 10.0
"""Variance of a visit's noise over the prior variance of what it is about: mixtures of real domains have 4 to 20."""
LARGEST = 2.0
"""Derivatives count up to so many times their root mean square: log-losses of images learnt already have outliers."""
OWN = 0.05
"""Share of what an image's own visit says beyond the prediction: only its own visits tell what other images do not
share with it."""

ROUNDING = 1e-5
"""Share of two channels' variances below which that of their difference is rounding."""


def colours(images: Tensor) -> Tensor:
    """Mean and standard deviation over the pixels of every channel and every difference of two channels, images
    (m, c, h, w) -> (m, c (c + 1)).

    Differences are colour opponents: their statistics say how colourful an image is (Hasler and Suesstrunk, "Measuring
    colourfulness in natural images", SPIE 2003).
    """
    if images.shape[1] == 1:
        levels = images.flatten(1)
        mean = levels.mean(dim=1, keepdim=True)
        return torch.cat([mean, (levels - mean).square().mean(dim=1, keepdim=True).sqrt()], dim=1)
    first, second = _pairs(images.shape[1], images.device)
    channels = images.flatten(2)
    mean = channels.mean(dim=2)
    centred = channels - mean.unsqueeze(2)
    # One product has the variances of all of them, and reads the pixels once.
    covariances = torch.bmm(centred, centred.mT) / channels.shape[2]
    variances = covariances.diagonal(dim1=1, dim2=2)
    sums = variances[:, first] + variances[:, second]
    of_differences = sums - 2 * covariances[:, first, second]
    # A grey image has no opponent colours, and rounding must not give it any.
    of_differences = torch.where(of_differences > ROUNDING * sums, of_differences, 0.0)
    deviations = torch.cat([variances, of_differences], dim=1).sqrt()
    return torch.cat([mean, mean[:, first] - mean[:, second], deviations], dim=1)


@functools.cache
def _pairs(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """First and second of all pairs of so many channels."""
    first, second = torch.combinations(torch.arange(count, device=device)).unbind(dim=1)
    return first, second


class Smoothing:
    """The regression of the derivatives of the last visits, about `memory` instances back; alike on every worker.

    Its state has 257 x 257 numbers, whatever the source and the encoder. Two images are alike as far as the mean over
    descriptions of exp(-|z - z'|^2 / 2d) is near 1, z being the d features of a description in standard deviations.
    All of it is float64: in float32 what many steps forget in a large matrix is lost in rounding.
    """

    def __init__(self, memory: float):
        self._memory = memory
        self._functions: RandomFunctions | None = None
        # Sums over visits: their number, squares of derivatives; of features and of their squares.
        self._visits = torch.zeros(2, dtype=torch.float64)
        self._features = torch.empty(2, 0, dtype=torch.float64)
        self._gram = torch.zeros(NUM_FUNCTIONS + 1, NUM_FUNCTIONS + 1, dtype=torch.float64)
        self._products = torch.zeros(NUM_FUNCTIONS + 1, dtype=torch.float64)

    name = "smoothing"

    def __call__(self, derivatives: Tensor, visit: Visit) -> Tensor:
        """`follow` with the visited images described by their features and colours."""
        return self.follow((visit.mean_features(), colours(visit.images)), derivatives)

    def follow(self, descriptions: Sequence[Tensor], derivatives: Tensor) -> Tensor:
        """Take this worker's part of a step in, descriptions (m, d) each, and derivatives (m,); returns what is shared
        (m,): predictions and a little of the images' own.

        Every worker calls it. The step's own visits count in its predictions.
        """
        x = torch.cat([tensor.detach().cpu().to(torch.float64) for tensor in descriptions], dim=1)
        y = derivatives.detach().cpu().to(torch.float64)
        if self._functions is None:
            self._functions = RandomFunctions([tensor.shape[1] for tensor in descriptions], NUM_FUNCTIONS)
            self._features = torch.zeros(2, x.shape[1], dtype=torch.float64)
        visits = collectives.total(torch.stack([torch.tensor(float(len(y)), dtype=torch.float64), y.square().sum()]))
        decay = math.exp(-float(visits[0]) / self._memory)
        self._visits.mul_(decay).add_(visits)
        self._features.mul_(decay).add_(collectives.total(torch.stack([x.sum(dim=0), x.square().sum(dim=0)])))
        functions = self._functions(x, *(self._features / self._visits[0]))
        size = float((self._visits[1] / self._visits[0]).sqrt())
        if size == 0:
            return derivatives
        seen = (y / size).clamp(-LARGEST, LARGEST)
        self._gram.mul_(decay).add_(collectives.total(functions.T @ functions))
        self._products.mul_(decay).add_(collectives.total(functions.T @ seen))
        precision = self._gram.clone()
        precision.diagonal().add_(NOISE)
        factor = torch.linalg.cholesky(precision)
        coefficients = torch.cholesky_solve(self._products.unsqueeze(1), factor).squeeze(1)
        predicted = functions @ coefficients
        return ((predicted + OWN * (seen - predicted)) * size).to(derivatives)

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from, bit for bit."""
        return {
            "widths": torch.tensor(self._functions.widths if self._functions else (), dtype=torch.int64),
            "visits": self._visits,
            "features": self._features,
            "gram": self._gram,
            "products": self._products,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        widths = state["widths"].tolist()
        self._functions = RandomFunctions(widths, NUM_FUNCTIONS) if widths else None
        self._visits, self._features = state["visits"].clone(), state["features"].clone()
        self._gram, self._products = state["gram"].clone(), state["products"].clone()
