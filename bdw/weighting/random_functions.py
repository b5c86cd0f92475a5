"""Random Fourier features of image descriptions: a regression on them is one with a Gaussian kernel.

Rahimi and Recht, "Random features for large-scale kernel machines", NeurIPS 2007. A description has parts (what an
encoder makes of an image, its colours), and every part has functions of its own: the regression is a sum of a function
of each (Duvenaud, Nickisch and Rasmussen, "Additive Gaussian processes", NeurIPS 2011).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

MAX_WIDTH = 64
"""Features of a description that are kept; wider ones are projected at random (`narrowed`)."""


class RandomFunctions:
    """`count` functions of descriptions with parts of these widths, and a constant beside them.

    They are the same in every run: which ones they are is no part of an experiment. Every part has as many functions as
    every other, give or take one. Two images are alike as far as the mean over parts of exp(-s^2 |z - z'|^2 / 2d) is
    near 1: z are the d numbers of a part in standard deviations, s is the `sharpness`. Values have the `dtype`.
    """

    def __init__(
        self, widths: Sequence[int], count: int, *, sharpness: float = 1.0, dtype: torch.dtype = torch.float64
    ):
        generator = torch.Generator().manual_seed(0)
        shares = [len(part) for part in torch.arange(count).tensor_split(len(widths))]
        parts = [
            torch.randn(d, n, generator=generator, dtype=torch.float64) / math.sqrt(d) * sharpness
            for d, n in zip(widths, shares, strict=True)
        ]
        self.widths, self.count = tuple(widths), count
        self._projection = torch.block_diag(*parts).to(dtype)
        self._shifts = (2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)).to(dtype)

    def __call__(self, descriptions: Tensor, mean: Tensor, squares: Tensor) -> Tensor:
        """Values (m, count + 1) for descriptions (m, d), given the mean (d,) of each number and of its square.

        These two in float64: what is left of their difference is the variance.
        """
        deviation = (squares - mean.square()).clamp(min=0).sqrt()
        # A number that never moves tells nothing; rounding must not make it tell something.
        z = torch.where(deviation > 1e-6 * squares.sqrt(), (descriptions - mean) / deviation, 0.0)
        waves = torch.cos(z.to(self._projection) @ self._projection + self._shifts) * math.sqrt(2 / self.count)
        return torch.nn.functional.pad(waves, (0, 1), value=1.0)


def narrowed(part: Tensor) -> Tensor:
    """Descriptions (m, d) as (m, d) if d is at most `MAX_WIDTH`, otherwise projected at random to that width."""
    width = part.shape[1]
    return part if width <= MAX_WIDTH else part @ _narrowing(width).to(part)


@functools.cache
def _narrowing(width: int) -> Tensor:
    """(width, `MAX_WIDTH`). Johnson and Lindenstrauss: distances stay what they are, to about a tenth."""
    generator = torch.Generator().manual_seed(width)
    return torch.randn(width, MAX_WIDTH, generator=generator) / math.sqrt(MAX_WIDTH)
