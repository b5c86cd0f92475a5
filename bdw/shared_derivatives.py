"""What one visit says of an image, read off all images that look alike to the encoder.

One derivative <v, grad L_i> is mostly noise and an instance is visited once an epoch, but images that the encoder takes
for similar help or harm alike. So derivatives are regressed on features as training goes, and every image gets what the
regression predicts for it in place of its own: Bayesian linear regression on random Fourier features (Rahimi and Recht,
"Random features for large-scale kernel machines", NeurIPS 2007), older visits counting less and less. An image that was
never visited before gets a prediction, too. Not in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from bdw import collectives

NUM_FUNCTIONS = 256
"""Random functions of the features, and a constant beside them."""
NOISE = 10.0
"""Variance of a visit's noise over the prior variance of what it is about: mixtures of real domains have 4 to 20."""
LARGEST = 2.0
"""Derivatives count up to so many times their root mean square: log-losses of images learnt already have outliers."""


class SharedDerivatives:
    """The regression of the derivatives of the last visits, about `memory` instances back; alike on every worker.

    Its state has 257 x 257 numbers, whatever the source and the encoder. Two images are alike as far as
    exp(-|z - z'|^2 / 2d) is near 1, z being their d features in standard deviations.
    """

    def __init__(self, memory: float):
        self._memory = memory
        self._projection: Tensor | None = None
        self._shifts = torch.empty(0)
        # Sums over visits: their number, squares of derivatives; of features and of their squares.
        self._visits = torch.zeros(2, dtype=torch.float64)
        self._features = torch.empty(2, 0, dtype=torch.float64)
        self._gram = torch.zeros(NUM_FUNCTIONS + 1, NUM_FUNCTIONS + 1, dtype=torch.float64)
        self._products = torch.zeros(NUM_FUNCTIONS + 1, dtype=torch.float64)

    def follow(self, features: Tensor, derivatives: Tensor) -> Tensor:
        """Take this worker's part of a step in, features (m, d) and derivatives (m,); returns predictions (m,).

        Every worker calls it. The step's own visits count in its predictions.
        """
        x, y = (tensor.detach().cpu().to(torch.float64) for tensor in (features, derivatives))
        if self._projection is None:
            self._draw(x.shape[1])
        assert self._projection is not None
        visits = collectives.total(torch.stack([torch.tensor(float(len(y)), dtype=torch.float64), y.square().sum()]))
        decay = math.exp(-float(visits[0]) / self._memory)
        self._visits.mul_(decay).add_(visits)
        self._features.mul_(decay).add_(collectives.total(torch.stack([x.sum(dim=0), x.square().sum(dim=0)])))
        mean, squares = self._features / self._visits[0]
        deviation = (squares - mean.square()).clamp(min=0).sqrt()
        # A feature that never moves tells nothing; rounding must not make it tell something.
        z = torch.where(deviation > 1e-6 * squares.sqrt(), (x - mean) / deviation, 0.0)
        waves = torch.cos(z @ self._projection + self._shifts) * math.sqrt(2 / NUM_FUNCTIONS)
        functions = torch.cat([waves, torch.ones_like(y).unsqueeze(1)], dim=1)
        size = float((self._visits[1] / self._visits[0]).sqrt())
        if size == 0:
            return derivatives
        seen = (y / size).clamp(-LARGEST, LARGEST)
        self._gram.mul_(decay).add_(collectives.total(functions.T @ functions))
        self._products.mul_(decay).add_(collectives.total(functions.T @ seen))
        factor = torch.linalg.cholesky(self._gram + NOISE * torch.eye(NUM_FUNCTIONS + 1, dtype=torch.float64))
        coefficients = torch.cholesky_solve(self._products.unsqueeze(1), factor).squeeze(1)
        return (functions @ coefficients * size).to(derivatives)

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from, bit for bit."""
        return {
            "visits": self._visits,
            "features": self._features,
            "gram": self._gram,
            "products": self._products,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        self._projection = None
        if state["features"].shape[1]:
            self._draw(state["features"].shape[1])
        self._visits, self._features = state["visits"].clone(), state["features"].clone()
        self._gram, self._products = state["gram"].clone(), state["products"].clone()

    def _draw(self, num_features: int) -> None:
        """The random functions, the same in every run: which ones they are is no part of an experiment."""
        generator = torch.Generator().manual_seed(0)
        kind = {"generator": generator, "dtype": torch.float64}
        self._projection = torch.randn(num_features, NUM_FUNCTIONS, **kind) / math.sqrt(num_features)  # type: ignore[call-overload]
        self._shifts = 2 * math.pi * torch.rand(NUM_FUNCTIONS, **kind)  # type: ignore[call-overload]
        self._features = torch.zeros(2, num_features, dtype=torch.float64)
