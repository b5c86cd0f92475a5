"""Weights of tasks alone (`weights_per task`): one per task and step, the same for all images.

The control of weights per image and task: what weights of images add is what these lack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.parallel import collectives
from bdw.weighting.weighters.protocol import HasColumns, Weighter, WeightSample, WeightTable
from bdw.weighting.weighters.wrapped import Wrapped

_ROW = torch.tensor([0])
"""The one instance of the inner weighter."""


class PerTask(Wrapped):
    """A weighter of one instance with a column for every task, whose weights all n source instances have.

    Every worker takes the same steps: the first one says what is drawn, and the gradient is summed over all.
    """

    def __init__(self, inner: Weighter, num_instances: int):
        assert isinstance(inner, HasColumns), "weights of tasks are columns"
        super().__init__(inner)
        self._columns: HasColumns = inner
        self._num_instances = num_instances
        self._pruned = torch.zeros(inner.columns, dtype=torch.bool)

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """Weights (k, c) whose rows are alike, of one draw."""
        seed = torch.randint(2**62, (1,), generator=generator)
        # Workers' generators differ.
        everyones = collectives.total(seed if collectives.rank() == 0 else torch.zeros_like(seed))
        inner = self.inner.sample(_ROW, torch.Generator().manual_seed(int(everyones)))
        return _TaskSample(indices, _as_rows(inner.weights.detach(), len(indices)), inner)

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """dL_meta/dw_t is the sum of dL_meta/dw_it (k, c) over the instances i of all workers."""
        inner = sample.inner if isinstance(sample, _TaskSample) else WeightSample(_ROW, sample.weights[:1])
        total = collectives.total(gradient.to(torch.float64).sum(dim=0, keepdim=True))
        self.inner.update(inner, total if self.columns > 1 else total.reshape(1))

    def judge(self, indices: Tensor, helps: Tensor, column: int = 0) -> None:
        """The task helps as probably as its instances do on average, over all workers; nothing where none is judged."""
        told = torch.stack([helps.sum(), torch.tensor(float(len(helps)))]).to(torch.float64)
        total, count = collectives.total(told)
        if count > 0:
            super().judge(_ROW, (total / count).reshape(1), column)

    def useless(self) -> NDArray[np.bool_]:
        """(n,) none: a task that is better than all others stays (`useless_columns`)."""
        return np.zeros(self._num_instances, dtype=np.bool_)

    def useless_columns(self) -> NDArray[np.bool_]:
        """(n, c) by the inner weighter's rule. The best task by mean weight among those that are left always stays."""
        useless = self._columns.useless_columns().copy()
        means = np.array([each.mean[0] for each in self._columns.column_tables()])
        useless[:, int(np.argmax(np.where(self._pruned.numpy(), -np.inf, means)))] = False
        return np.repeat(useless, self._num_instances, axis=0)

    def column_tables(self) -> list[WeightTable]:
        """The tasks' weights, for each of the n instances."""
        n = self._num_instances
        found = self._columns.column_tables()
        return [WeightTable(**{name: np.repeat(value, n) for name, value in vars(each).items()}) for each in found]

    def table(self) -> WeightTable:
        """Means over the tasks, alike for all instances."""
        return WeightTable.of_columns(self.column_tables())

    def freeze(self, rows: Tensor) -> None:
        """Nothing: a task goes on learning from the images that are left."""

    def freeze_column(self, rows: Tensor, column: int) -> None:
        """The task stays where it is."""
        if len(rows):
            self._columns.freeze_column(_ROW, column)
            self._pruned[column] = True

    def state_dict(self) -> dict[str, Tensor]:
        """The inner weighter's, and which tasks are pruned."""
        return {**super().state_dict(), "pruned_tasks": self._pruned}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        super().load_state_dict(state)
        self._pruned.copy_(state["pruned_tasks"])


def _as_rows(weights: Tensor, count: int) -> Tensor:
    """(1,) or (1, c) -> (count,) or (count, c)."""
    return weights.expand(count, *weights.shape[1:])


@dataclass(frozen=True)
class _TaskSample(WeightSample):
    """A sample that remembers the one row that it was made from."""

    inner: WeightSample
