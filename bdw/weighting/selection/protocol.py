"""What a selector is: who gives every image a weight before training.

A selector that the config field `selector` names chooses images: weight 1 for those chosen, 0 for all others, which are
pruned before the first epoch, whatever weighter then trains on the rest. One that the field `weighter` names takes the
weighter's place, and its weights may be any.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from bdw.config import SelectorConfig, WeighterConfig
from bdw.data import Problem
from bdw.data.source_and_targets import LabelledProgress
from bdw.errors import InputError
from bdw.weighting.selection.cost import Cost, Meter


class Embedder(Protocol):
    """An encoder that is not trained."""

    @property
    def key(self) -> str:
        """Tells features of this encoder, from images cut this way, from all others."""

    def __call__(self, images: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
        """Features (n, d) of stored images (n, c, h, w)."""


class Parallel(Protocol):
    """Does independent pieces of work, one after another or side by side; they may be pickled."""

    def __call__(self, work: Sequence[Callable[[], Any]], /) -> Iterator[Any]:
        """What each returns, in any order, as soon as it is there."""


def one_after_another(work: Sequence[Callable[[], Any]], /) -> Iterator[Any]:
    """In this process."""
    return (each() for each in work)


def pixels_only(features: str) -> Embedder:
    """The embedders of a toolkit that has none. Raises `InputError`."""
    raise InputError(f"features: {features!r} cannot be had here; allowed: pixels")


@dataclass(frozen=True, kw_only=True)
class Toolkit:
    """What a selector may use beside the problem."""

    device: torch.device
    """Where to compute."""
    cache_dir: Path
    """Where to keep what takes long to compute."""
    seed: int
    """Of what is drawn at random."""
    progress: LabelledProgress | None = None
    """Told what is being computed, how many instances are done and of how many."""
    embedder: Callable[[str], Embedder] = pixels_only
    """The encoder that the option `features` of a selector names; `InputError` if there is none."""
    in_parallel: Parallel = one_after_another
    """Trains experts."""
    meter: Meter = field(default_factory=Meter)
    """Where a selector says what its choice costs."""

    def told(self, what: str) -> Callable[[int, int], None] | None:
        """The progress of doing that."""
        return None if self.progress is None else functools.partial(self.progress, what)


@dataclass(frozen=True, eq=False)
class Selection:
    """What a selector chose."""

    weights: NDArray[np.float64]
    """(n,), 0 for what was not chosen."""
    cost: Cost

    @property
    def chosen(self) -> NDArray[np.bool_]:
        """(n,) bool."""
        return np.asarray(self.weights > 0)


class Acts(enum.Flag):
    """How fixed weights can change training."""

    IN_LOSS = enum.auto()
    """They differ between instances, so that losses count differently."""
    BY_PRUNING = enum.auto()
    """Some may be 0, which prunes an instance before the first epoch."""


class Selector(Protocol):
    """Gives every source instance a weight before training. It may compute, draw, and keep results in the cache."""

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """Weights (n,), finite, not negative, not all 0; the same for the same problem and seed.

        `InputError` if the selector cannot work with the problem. Only the oracle may look at what was planted.
        """


class FixedWeighting(Selector, Protocol):
    """A selector in the place of a weighter."""

    acts: ClassVar[Acts]

    @classmethod
    def from_config(cls, config: WeighterConfig) -> Self:
        """The selector with the config's options; `InputError` if these alone cannot work."""


class Choosing(Selector, Protocol):
    """A selector that chooses images: weights 1 and 0, and exactly as many of 1 as it is asked for.

    It works on the images in the order of their names, so that what it chooses does not depend on their order in the
    pool.
    """

    @classmethod
    def from_config(cls, config: SelectorConfig) -> Self:
        """The selector with the config's size and options; `InputError` if these alone cannot work."""
