"""What weighters have in common that learn: their weights live in an `InstanceTable`."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import WeighterConfig
from bdw.weighting.instance_table import InstanceTable
from bdw.weighting.weighters.protocol import Learns, WeightTable


class LearntWeighter:
    """All of a weighter but how it samples, learns and judges."""

    learns = Learns.AFTER_UPDATE
    learns_from_draw = True

    def __init__(self, instances: InstanceTable):
        self.instances = instances

    @staticmethod
    def check(config: WeighterConfig) -> None:
        """Any config will do."""

    @property
    def columns(self) -> int:
        """How many weights an instance has."""
        return self.instances.columns

    @abstractmethod
    def judged(self) -> NDArray[np.bool_]:
        """(c n) which cells of the table are surely useless."""

    @abstractmethod
    def useless_on_average(self, shares: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,) which instances are surely useless by the same rule on the mean over the columns, which count `shares`
        (c,) of 1."""

    @abstractmethod
    def cell_table(self) -> WeightTable:
        """The weights (c n) of all cells of the table."""

    def useless(self) -> NDArray[np.bool_]:
        """(n,) where all columns say so (`judged`)."""
        return self.instances.agreed(self.judged())

    def useless_columns(self) -> NDArray[np.bool_]:
        """(n, c) what each column says (`judged`)."""
        return self.instances.by_column(self.judged()).T

    def table(self) -> WeightTable:
        """`cell_table` of the one column, or means over the columns; complete after `end_epoch`."""
        return WeightTable.of_columns(self.column_tables())

    def column_tables(self) -> list[WeightTable]:
        """`cell_table`, column by column."""
        parts = {name: self.instances.by_column(values) for name, values in vars(self.cell_table()).items()}
        return [WeightTable(**{name: part[column] for name, part in parts.items()}) for column in range(self.columns)]

    def read(self, indices: Tensor) -> Tensor:
        """The quantities (q, k) of these instances, or (q, k, c) with several columns; float64."""
        parts = [self.instances.read(indices, column) for column in range(self.columns)]
        return parts[0] if len(parts) == 1 else torch.stack(parts, dim=-1)

    def step(self, indices: Tensor, gradients: Tensor) -> None:
        """One step of the table from gradients of the shape of `read`."""
        if self.columns == 1:
            self.instances.step(indices, gradients)
            return
        for column, theirs in enumerate(gradients.unbind(dim=-1)):
            self.instances.step(indices, theirs, column)

    def share(self) -> None:
        """Let every worker have the rows that the others touched."""
        self.instances.share()

    def end_epoch(self) -> None:
        """Let every worker have the rows that the others touched, and catch up all instances."""
        self.instances.end_epoch()

    def freeze(self, rows: Tensor) -> None:
        """Pruned instances stay where they are."""
        self.instances.freeze(rows)

    def freeze_column(self, rows: Tensor, column: int) -> None:
        """Where they are in that column. A gradient of 0, all that they get from now on, leaves them there."""
        self.instances.freeze(rows, column)

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
