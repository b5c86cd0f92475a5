"""Weighters: who owns and updates the instance weights. One file and one line in `_WEIGHTERS` each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import WeighterConfig
from bdw.errors import unknown_option


@dataclass(frozen=True)
class WeightSample:
    """The weights of one batch, and what `Weighter.update` needs to know about how they were drawn."""

    indices: Tensor
    """(k,) which instances."""
    weights: Tensor
    """(k,) their weights, float64 on the CPU; carries the graph of the sample where the weighter learns."""


@dataclass(frozen=True)
class WeightTable:
    """The weights of all n instances, as reports and exports show them; NaN where a weighter has no such quantity."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


class Weighter(Protocol):
    """Owns one weight distribution per source instance."""

    learns: bool
    """Whether `update` wants meta-gradients; if not, the step does without the meta pass and the tangents."""

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """Draw the weights of a batch (k,)."""

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """Learn from dL_meta/dw (k,) at that sample. With `learns`, called once for every sample, in order."""

    def end_epoch(self) -> None:
        """Bring every instance up to date and exchange what the workers learnt; the same table everywhere after."""

    def useless(self) -> NDArray[np.bool_]:
        """(n,) which instances the weighter is sure to be useless, by its own pruning rule."""

    def freeze(self, rows: Tensor) -> None:
        """These instances (indices) were pruned and will never be sampled again."""

    def table(self) -> WeightTable:
        """The weights of all instances."""

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from, bit for bit."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""


def _weighters() -> dict[str, Callable[[int, WeighterConfig], Weighter]]:
    from bdw.weighters.beta import BetaWeighter
    from bdw.weighters.uniform import UniformWeighter

    return {"beta": BetaWeighter.from_config, "uniform": UniformWeighter.from_config}


def available() -> tuple[str, ...]:
    """Names that the config field `weighter` accepts."""
    return tuple(sorted(_weighters()))


def learns(config: WeighterConfig) -> bool:
    """Whether the weighter that the config names wants meta-gradients."""
    return build(0, config).learns


def build(num_instances: int, config: WeighterConfig) -> Weighter:
    """The weighter that the config names, for that many instances."""
    weighters = _weighters()
    if config.weighter not in weighters:
        raise unknown_option("weighter", config.weighter, weighters)
    return weighters[config.weighter](num_instances, config)
