"""A selector: the images whose mean brightness is nearest to that of the target's training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import SelectorConfig
from bdw.data import Problem
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.selection.size import Size, by_name, weights_of


@dataclass(frozen=True)
class Brightness:
    """So many images. Options of its own would be a frozen dataclass, the class attribute `Options`."""

    size: Size

    @classmethod
    def from_config(cls, config: SelectorConfig) -> Self:
        """With the config's size, which it needs."""
        return cls(Size.of(config))

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """1 for the nearest images (n,), 0 for the others; where two are as near, the first by name."""
        del toolkit
        rows = by_name(problem.source)
        distances = np.abs(_brightness(problem.source.images) - _brightness(problem.target.train.images).mean())
        nearest = rows[np.argsort(distances[rows], kind="stable")]
        return weights_of(nearest[: self.size.of_all(len(rows))], len(rows))


def _brightness(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean level 0 to 255 of each image (n, c, h, w), a part of the memory-mapped store at a time."""
    parts = (images[start : start + 4096] for start in range(0, len(images), 4096))
    return np.concatenate([part.reshape(len(part), -1).mean(axis=1, dtype=np.float64) for part in parts])
