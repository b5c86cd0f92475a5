"""What a weighter is: who owns the instance weights during training, and learns them."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import WeighterConfig


class Learns(enum.Enum):
    """When in a training step a weighter learns from the meta-gradient."""

    NEVER = enum.auto()
    """Its weights are fixed: the step does without the meta pass and the tangents."""
    AFTER_UPDATE = enum.auto()
    """The meta-gradient is taken at theta', behind the model's update with the sampled weights."""
    BEFORE_UPDATE = enum.auto()
    """The meta-gradient is taken at theta itself, and the weights of the update follow from it."""


@dataclass(frozen=True)
class WeightSample:
    """The weights of one batch, and what `Weighter.update` needs to know about how they were drawn."""

    indices: Tensor
    """(k,) which instances."""
    weights: Tensor
    """(k,) their weights, or (k, c) where the weighter has c columns; float64 on the CPU. They carry the graph of the
    sample where the weighter learns through it."""


@dataclass(frozen=True)
class WeightTable:
    """The weights of all n instances, as reports and exports show them; NaN where a weighter has no such quantity."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]

    @classmethod
    def of_means(cls, mean: NDArray[np.float64]) -> Self:
        """Of weights (n,) that are numbers: variance 0, no (a, b)."""
        return cls(a=np.full(len(mean), np.nan), b=np.full(len(mean), np.nan), mean=mean, variance=np.zeros(len(mean)))

    @classmethod
    def of_columns(cls, tables: Sequence[Self]) -> Self:
        """What an image has on average over its columns, which are drawn independently; no (a, b), as a mean of several
        Beta variables is none. The only table is itself."""
        if len(tables) == 1:
            return tables[0]
        mean = np.mean([each.mean for each in tables], axis=0)
        variance = np.sum([each.variance for each in tables], axis=0) / len(tables) ** 2
        return cls(a=np.full(len(mean), np.nan), b=np.full(len(mean), np.nan), mean=mean, variance=variance)


@runtime_checkable
class TakesVerdicts(Protocol):
    """A weighter that learns from verdicts on whole images (`bdw.weighting.verdicts`), too."""

    def judge(self, indices: Tensor, helps: Tensor, column: int = 0) -> None:
        """Each of these instances (k,) helps with that probability (k,), as far as that column is concerned; every
        worker calls it with the instances that it visited."""


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
        """(n,) which instances are surely useless, by the weighter's own rule; complete after `end_epoch`."""

    def freeze(self, rows: Tensor) -> None:
        """These instances (indices) were pruned and will not be sampled again."""

    def table(self) -> WeightTable:
        """The weights of all instances."""

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from, bit for bit."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""


@runtime_checkable
class StartsFromMeans(Protocol):
    """A weighter whose weights need not start from ignorance."""

    def start(self, means: NDArray[np.float64]) -> None:
        """Before the first step: instances start from these mean weights (n,), in every column."""


@runtime_checkable
class HasColumns(Protocol):
    """A weighter whose instances may have several weights, one for each of c columns.

    With one column `sample` and `update` have vectors (k,), otherwise matrices (k, c).
    """

    @property
    def columns(self) -> int:
        """c."""

    def useless_columns(self) -> NDArray[np.bool_]:
        """(n, c) which are surely useless, by the weighter's own rule; complete after `end_epoch`."""

    def column_tables(self) -> list[WeightTable]:
        """The weights of all instances, column by column."""

    def freeze_column(self, rows: Tensor, column: int) -> None:
        """These instances (indices) were pruned in that column alone."""


class WeighterClass(Protocol):
    """What the registry asks of the class of a weighter that learns."""

    @property
    def learns(self) -> Learns:
        """When its `update` wants meta-gradients."""

    def check(self, config: WeighterConfig) -> None:
        """`InputError` if the config alone says that this weighter cannot work, before any image is decoded."""

    def from_config(self, config: WeighterConfig, num_instances: int, columns: int = 1) -> Weighter:
        """The weighter of so many instances with the config's options; with several columns one that `HasColumns`."""
