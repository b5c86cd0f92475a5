"""Weighters: who owns and updates the instance weights. One file and one line in `_weighters` each."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import WeighterConfig
from bdw.data.packed import PackedDataset
from bdw.data.problem import LabelledProgress
from bdw.errors import InputError, unknown_option


class Learns(enum.Enum):
    """When in a training step a weighter learns from the meta-gradient."""

    NEVER = enum.auto()
    """Its weights are fixed: the step does without the meta pass and the tangents."""
    AFTER_UPDATE = enum.auto()
    """The meta-gradient is taken at theta', behind the model's update with the sampled weights."""
    BEFORE_UPDATE = enum.auto()
    """The meta-gradient is taken at theta itself, and the weights of the update follow from it."""


@dataclass(frozen=True)
class WeighterContext:
    """What a weighter may be made from."""

    config: WeighterConfig
    source: PackedDataset
    """The n instances. Only the oracle may look at what was planted."""
    target_images: NDArray[np.uint8]
    """(m, c, h, w): the target's training images."""
    cache_dir: Path
    """Where to keep what takes long to compute."""
    device: torch.device
    """Where to compute it."""
    seed: int = 0
    """Of what is drawn at random."""
    progress: LabelledProgress | None = None
    """Told what is being computed, how many instances are done and of how many."""


@dataclass(frozen=True)
class WeightSample:
    """The weights of one batch, and what `Weighter.update` needs to know about how they were drawn."""

    indices: Tensor
    """(k,) which instances."""
    weights: Tensor
    """(k,) their weights, float64 on the CPU; carries the graph of the sample where the weighter learns through it."""


@dataclass(frozen=True)
class WeightTable:
    """The weights of all n instances, as reports and exports show them; NaN where a weighter has no such quantity."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


@runtime_checkable
class TakesVerdicts(Protocol):
    """A weighter that learns from verdicts on whole images (`bdw.verdicts`), too."""

    def judge(self, indices: Tensor, helps: Tensor) -> None:
        """Each of these instances (k,) helps with that probability (k,)."""


class Weighter(Protocol):
    """Owns the weights of n source instances."""

    learns: Learns
    """When `update` wants meta-gradients."""
    learns_from_draw: bool
    """Whether `update` needs a sample that `sample` drew; otherwise its indices are enough."""

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """Draw the weights of a batch (k,)."""

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """Learn from dL_meta/dw (k,) of this worker's part of the batch; every worker calls it in the same step.

        With `AFTER_UPDATE` the sample is the last one drawn. With `BEFORE_UPDATE` it is all zeros, the weights of the
        look-ahead, and the next `sample` of the same instances follows from the gradient.
        """

    def share(self) -> None:
        """Exchange what the workers learnt since they last did; the same state everywhere after, nothing else changed.

        Called before a checkpoint in the middle of an epoch, which must leave no trace in the epoch's outcome.
        """

    def end_epoch(self) -> None:
        """Exchange what the workers learnt and bring every instance up to date; the same table everywhere after."""

    def useless(self) -> NDArray[np.bool_]:
        """(n,) which instances the weighter is sure to be useless, by its own pruning rule."""

    def freeze(self, rows: Tensor) -> None:
        """These instances (indices) were pruned and will not be sampled again."""

    def table(self) -> WeightTable:
        """The weights of all instances."""

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from, bit for bit."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""


class WeighterClass(Protocol):
    """What the registry asks of a weighter's class."""

    @property
    def learns(self) -> Learns:
        """When its `update` wants meta-gradients."""

    def check(self, config: WeighterConfig) -> None:
        """`InputError` if the config alone says that this weighter cannot work, before any image is decoded."""

    def from_context(self, context: WeighterContext) -> Weighter:
        """The weighter for that source and target; `InputError` if it cannot work with them."""


def _weighters() -> dict[str, WeighterClass]:
    from bdw.weighters.beta import BetaWeighter
    from bdw.weighters.counts import CountsWeighter
    from bdw.weighters.given import GivenWeighter
    from bdw.weighters.l2rw import L2RWWeighter
    from bdw.weighters.nearest_neighbour import NearestNeighbourWeighter
    from bdw.weighters.oracle import OracleWeighter
    from bdw.weighters.point import PointWeighter
    from bdw.weighters.random_subset import RandomSubsetWeighter
    from bdw.weighters.uniform import UniformWeighter

    return {
        "beta": BetaWeighter,
        "counts": CountsWeighter,
        "given": GivenWeighter,
        "l2rw": L2RWWeighter,
        "nearest-neighbour": NearestNeighbourWeighter,
        "oracle": OracleWeighter,
        "point": PointWeighter,
        "random": RandomSubsetWeighter,
        "uniform": UniformWeighter,
    }


def available() -> tuple[str, ...]:
    """Names that the config field `weighter` accepts."""
    return tuple(sorted(_weighters()))


def learns(config: WeighterConfig) -> Learns:
    """When the weighter that the config names learns."""
    return _chosen(config).learns


def check(config: WeighterConfig) -> None:
    """`InputError` for what the config alone says cannot work."""
    chosen = _chosen(config)
    chosen.check(config)
    if not config.weighted_loss and chosen.learns is Learns.BEFORE_UPDATE:
        raise InputError(
            f"weighted_loss: false cannot work with weighter {config.weighter!r}, whose weights are those of one batch "
            "and prune nothing; allowed: true"
        )
    says_nothing = config.weighter == "nearest-neighbour" or not config.prune  # None of its weights is 0.
    if not config.weighted_loss and chosen.learns is Learns.NEVER and says_nothing and config.weighter != "uniform":
        raise InputError(
            f"weighted_loss: false cannot work with {'' if config.prune else 'prune: false and '}weighter "
            f"{config.weighter!r}, whose fixed weights would then say nothing; allowed: true, or weighter 'uniform'"
        )


def build(context: WeighterContext) -> Weighter:
    """The weighter that the context's config names."""
    from bdw.weighters.equal_loss import EqualLoss
    from bdw.weighters.self_normalised import SelfNormalised

    weighter = _chosen(context.config).from_context(context)
    if not context.config.weighted_loss:
        return EqualLoss(weighter)
    return SelfNormalised(weighter) if context.config.normalise_weights else weighter


def _chosen(config: WeighterConfig) -> WeighterClass:
    weighters = _weighters()
    if config.weighter not in weighters:
        raise unknown_option("weighter", config.weighter, weighters)
    return weighters[config.weighter]
