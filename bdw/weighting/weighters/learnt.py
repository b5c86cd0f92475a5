"""What weighters have in common that learn p quantities per instance by lazy momentum, after the model's update."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from bdw.config import WeighterConfig
from bdw.weighting.weighters.lazy_momentum import LazyMomentum
from bdw.weighting.weighters.protocol import Learns


class LearntWeighter:
    """A table of quantities behind `optimiser`; which rows this worker wrote to since the last exchange; which are
    pruned."""

    learns = Learns.AFTER_UPDATE
    learns_from_draw = True

    def __init__(self, optimiser: LazyMomentum):
        self.optimiser = optimiser
        num_instances = optimiser.parameters.shape[1]
        self._touched = torch.zeros(num_instances, dtype=torch.bool)
        self._frozen = torch.zeros(num_instances, dtype=torch.bool)

    @staticmethod
    def check(config: WeighterConfig) -> None:
        """Any config will do."""

    def share(self) -> None:
        """Let every worker have the rows that the others touched."""
        self.optimiser.exchange(self._touched.nonzero().flatten())
        self._touched.zero_()

    def end_epoch(self) -> None:
        """Let every worker have the rows that the others touched, and catch up all instances."""
        self.share()
        self.optimiser.catch_up((~self._frozen).nonzero().flatten())

    def freeze(self, rows: Tensor) -> None:
        """Pruned instances stay where they are."""
        self.optimiser.freeze(rows)
        self._frozen[rows] = True

    def excerpt(self, rows: Tensor) -> Self:
        """A weighter of these instances alone, as they are now; what it learns is not learnt here."""
        part = copy.copy(self)
        part.optimiser = copy.copy(self.optimiser)
        for owner in (part, part.optimiser):
            for name, value in list(vars(owner).items()):
                if isinstance(value, Tensor):  # All of them have instances as their last dimension.
                    setattr(owner, name, value[..., rows])
        return part

    def rest(self, steps: int) -> None:
        """Let so many steps pass in which no instance is visited."""
        self.optimiser.now += steps
        self.optimiser.catch_up((~self._frozen).nonzero().flatten())

    def state_dict(self) -> dict[str, Tensor]:
        """The table, its momentum and clocks, and which instances are frozen."""
        return {**self.optimiser.state_dict(), "touched": self._touched, "frozen": self._frozen}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        self.optimiser.load_state_dict(state)
        self._touched.copy_(state["touched"])
        self._frozen.copy_(state["frozen"])

    def _up_to_date(self, rows: Tensor) -> Tensor:
        """The quantities (p, len(rows)) of these rows as they are now, in float64.

        Catching up rounds, so a row counts as touched whether or not a step follows: the others must have it as it is.
        """
        self.optimiser.catch_up(rows)
        self._touched[rows] = True
        return self.optimiser.parameters.index_select(1, rows).to(torch.float64)
