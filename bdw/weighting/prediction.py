"""What images that were never trained on would be worth: a regression of the meta-gradient on what images look like.

The same regression as that of the verdicts (`bdw.weighting.verdicts`) and of the scorer (`bdw.scoring.rater`): Bayesian
linear regression on random functions of an image's description. Here it is fitted anew each time, on images as the
encoder of this moment describes them: with few visits an image the encoder changes more between two visits than a
running sum could follow. It learns from

* visited images, whose derivative is known,
* a random part of the pool, as worth 0, which the pool is worth on average on this scale: where images are drawn by
  usefulness, the visited ones do not look like the pool,
* and target images as examples of what helps, which together count `TOLD_SHARE` as much as the others do.

The scale is that of the verdicts: the pool's mean prediction is 0, that of target images of which the regression is
told nothing is 1. Not in the paper; what the parts are worth stands in benchmarks/LOG.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bdw.weighting.random_functions import RandomFunctions, narrowed
from bdw.weighting.verdicts import LARGEST, NOISE, NUM_FUNCTIONS, SHARPNESS

TOLD_SHARE = 0.2
"""Weight of all examples of the target over that of all other images of the regression."""
Description = Sequence[Tensor]
"""(m, d) for each way in which images are described."""


class Described(NamedTuple):
    """The images of one fit; descriptions have the same widths."""

    visited: Description
    pool: Description
    """A random part of the pool, whose usefulness is asked for."""
    told: Description
    """Images of the target that the regression takes for useful."""
    measured: Description
    """Others of the target, which end the scale."""


def usefulness(described: Described, seen: Tensor) -> tuple[Tensor, Tensor] | None:
    """What the visited images and those of the pool part are worth, (m,) and (k,) float64 on the scale of the module.

    `seen` (m,): derivatives of the visited images in root mean squares. None where the regression does not put the
    target above the pool: it knows nothing.
    """
    parts = [_joined(part) for part in described]
    widths = [narrowed(part[:1]).shape[1] for part in described.visited]
    functions = RandomFunctions(widths, NUM_FUNCTIONS, sharpness=SHARPNESS)
    learnt = torch.cat(parts[:2])
    moments = learnt.mean(dim=0), learnt.square().mean(dim=0)
    visited, pool, told, measured = (functions(part, *moments) for part in parts)
    each = TOLD_SHARE * len(learnt) / len(told)
    precision = visited.T @ visited + pool.T @ pool + each * told.T @ told
    precision.diagonal().add_(NOISE)
    products = visited.T @ seen.to(torch.float64).clamp(-LARGEST, LARGEST) + each * LARGEST * told.sum(dim=0)
    coefficients = torch.cholesky_solve(products.unsqueeze(1), torch.linalg.cholesky(precision)).squeeze(1)
    said = [part @ coefficients for part in (visited, pool, measured)]
    zero, one = float(said[1].mean()), float(said[2].mean())
    if not one > zero:
        return None
    return (said[0] - zero) / (one - zero), (said[1] - zero) / (one - zero)


def _joined(description: Description) -> Tensor:
    return torch.cat([narrowed(part.to(torch.float64)) for part in description], dim=1)
