"""What weighters have in common that learn: their weights live in an `InstanceTable`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Self

from torch import Tensor

from bdw.config import WeighterConfig
from bdw.weighting.instance_table import InstanceTable
from bdw.weighting.weighters.protocol import Learns


class LearntWeighter:
    """All of a weighter but how it samples, learns and judges."""

    learns = Learns.AFTER_UPDATE
    learns_from_draw = True

    def __init__(self, instances: InstanceTable):
        self.instances = instances

    @staticmethod
    def check(config: WeighterConfig) -> None:
        """Any config will do."""

    def share(self) -> None:
        """Let every worker have the rows that the others touched."""
        self.instances.share()

    def end_epoch(self) -> None:
        """Let every worker have the rows that the others touched, and catch up all instances."""
        self.instances.end_epoch()

    def freeze(self, rows: Tensor) -> None:
        """Pruned instances stay where they are."""
        self.instances.freeze(rows)

    def excerpt(self, rows: Tensor) -> Self:
        """A weighter of these instances alone, as they are now; what it learns is not learnt here."""
        part = copy.copy(self)
        part.instances = self.instances.excerpt(rows)
        return part

    def state_dict(self) -> dict[str, Tensor]:
        """The table's."""
        return self.instances.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        self.instances.load_state_dict(state)
