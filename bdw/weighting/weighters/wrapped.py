"""A weighter around another one: everything is the inner one's but what a subclass says otherwise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bdw.weighting.weighters.protocol import HasColumns, StartsFromMeans, TakesVerdicts, Weighter, WeightTable


class Wrapped:
    """What does not depend on how weights are used in a step: table, pruning and state."""

    def __init__(self, inner: Weighter):
        self.inner = inner
        self.learns = inner.learns
        self.learns_from_draw = inner.learns_from_draw

    @property
    def columns(self) -> int:
        """The inner weighter's; 1 if it knows of none."""
        return self.inner.columns if isinstance(self.inner, HasColumns) else 1

    def judge(self, indices: Tensor, helps: Tensor, column: int = 0) -> None:
        """The inner weighter's, if it takes verdicts."""
        assert isinstance(self.inner, TakesVerdicts)
        self.inner.judge(indices, helps, column)

    def start(self, means: NDArray[np.float64]) -> None:
        """The inner weighter's, if it can."""
        assert isinstance(self.inner, StartsFromMeans)
        self.inner.start(means)

    def share(self) -> None:
        """The inner weighter's."""
        self.inner.share()

    def end_epoch(self) -> None:
        """The inner weighter's."""
        self.inner.end_epoch()

    def useless(self) -> NDArray[np.bool_]:
        """The inner weighter's rule, on its own weights."""
        return self.inner.useless()

    def freeze(self, rows: Tensor) -> None:
        """The inner weighter's."""
        self.inner.freeze(rows)

    def useless_columns(self) -> NDArray[np.bool_]:
        """The inner weighter's, if it has columns."""
        assert isinstance(self.inner, HasColumns)
        return self.inner.useless_columns()

    def column_tables(self) -> list[WeightTable]:
        """The inner weighter's, if it has columns."""
        assert isinstance(self.inner, HasColumns)
        return self.inner.column_tables()

    def freeze_column(self, rows: Tensor, column: int) -> None:
        """The inner weighter's, if it has columns."""
        assert isinstance(self.inner, HasColumns)
        self.inner.freeze_column(rows, column)

    def table(self) -> WeightTable:
        """The inner weighter's."""
        return self.inner.table()

    def state_dict(self) -> dict[str, Tensor]:
        """The inner weighter's."""
        return self.inner.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        self.inner.load_state_dict(state)
