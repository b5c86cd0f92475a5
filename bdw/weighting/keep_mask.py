"""The keep mask: which instances are still trained on, and since when the others are not."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import RunConfig
from bdw.weighting import registry as weighters
from bdw.weighting.weighters.protocol import Learns

logger = logging.getLogger(__name__)

_FLOOR = 31
"""Stream of random numbers, beside those of selectors."""


def min_kept(config: RunConfig, num_instances: int) -> int:
    """Images of so many that a run always keeps, however many its rule wants to prune: by default one batch.

    What fixed weights keep is decided before the run, so that the share is a floor for learnt ones alone.
    """
    learns = weighters.learns(config.weighter) is not Learns.NEVER
    share = (config.weighter.kept_share or 0.0) if learns else 0.0
    return config.weighter.min_kept or max(config.optimiser.batch_size, round(share * num_instances))


class KeepMask:
    """Once pruned, always pruned.

    `kept` (n,) bool; `pruned_at_epoch` (n,) int32, 0 while an instance is kept.

    Learnt weights prune after an epoch, and `pruned_at_epoch` is its number. Fixed weights and selectors prune once,
    before the first epoch, and the number is 1: with them it means "never trained on".
    """

    def __init__(self, num_instances: int, min_kept: int, *, seed: int = 0, warn: bool = True):
        """`seed`: of the order in which equally useful instances stay at the floor."""
        self.kept = torch.ones(num_instances, dtype=torch.bool)
        self.pruned_at_epoch = torch.zeros(num_instances, dtype=torch.int32)
        self.min_kept = min(min_kept, num_instances)
        self._seed = seed
        self._warn = warn
        self._has_warned = False

    @property
    def count(self) -> int:
        """How many instances are kept."""
        return int(self.kept.sum())

    def choose(self, chosen: NDArray[np.bool_]) -> Tensor:
        """Keep only these (n,), before the first epoch, and return the indices that went. The floor falls to their
        number, if it is higher."""
        gone = torch.from_numpy(~chosen).nonzero().flatten()
        self.kept[gone] = False
        self.pruned_at_epoch[gone] = 1
        self.min_kept = min(self.min_kept, self.count)
        return gone

    def prune(self, useless: NDArray[np.bool_], usefulness: NDArray[np.float64], epoch: int) -> Tensor:
        """Prune the useless (n,) and return the indices that went.

        Never leaves fewer than `min_kept`: if the rule asks for more, the instances of the highest usefulness (n,)
        among those still kept stay, and (unless told not to) a warning says so the first time. Where it ties, chance
        decides by the seed, not the index: images are in the order of their names, and a folder has one subject.
        """
        doomed = torch.from_numpy(useless) & self.kept
        spared = self.min_kept - (self.count - int(doomed.sum()))
        if spared > 0:
            candidates = doomed.nonzero().flatten().numpy()
            best = in_order_of_use(candidates, usefulness, self._seed)[:spared]
            doomed[torch.from_numpy(best)] = False
            self._warn_of_floor(spared, epoch)
        gone = doomed.nonzero().flatten()
        self.kept[gone] = False
        self.pruned_at_epoch[gone] = epoch
        return gone

    @property
    def told(self) -> Tensor:
        """(n,) what a pretext task is told."""
        return self.kept

    def _warn_of_floor(self, spared: int, epoch: int) -> None:
        if self._warn and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "epoch %d: the pruning rule wanted to leave %d of %d images; kept the %d of the highest mean "
                "weight instead (min_kept)",
                epoch,
                self.min_kept - spared,
                len(self.kept),
                self.min_kept,
            )

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from."""
        return {"kept": self.kept, "pruned_at_epoch": self.pruned_at_epoch}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        self.kept.copy_(state["kept"])
        self.pruned_at_epoch.copy_(state["pruned_at_epoch"])
        self.min_kept = min(self.min_kept, self.count)  # A selector may have chosen fewer.


def in_order_of_use(rows: NDArray[np.int64], usefulness: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """These instances (indices), the most useful (n,) first; equals in an order drawn by the seed."""
    chance = np.random.default_rng([seed, _FLOOR]).permutation(len(rows))
    ordered: NDArray[np.int64] = rows[np.lexsort((chance, -usefulness[rows]))]
    return ordered
