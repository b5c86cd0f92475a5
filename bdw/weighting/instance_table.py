"""The table that weights live in: numbers for each of n instances, of which a step touches only a few.

Every worker holds the whole table and touches its own rows; `share` brings the copies together. Where rows learn by SGD
with momentum, a row moves on between two touches, because its buffer is not empty: after s steps without a gradient the
buffer is mu^s m, and the parameter has moved by -lr * m * (mu + ... + mu^s). That is caught up in closed form when the
row is next touched, and for all rows at the end of an epoch (docs/design.md, section 2, "weights' optimiser"). So a
step costs O(rows touched) and equals dense heavy-ball SGD. Clamping once at the end of a rest equals clamping after
each of its steps, since the drift between two touches never turns round.

Letters: q quantities, c columns, n instances, m touched rows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.parallel import collectives


@dataclass(frozen=True)
class Momentum:
    """How rows learn: heavy-ball SGD with values kept within [low, high]."""

    learning_rate: float
    momentum: float
    """mu, 0 <= mu < 1."""
    low: float
    high: float


class InstanceTable:
    """q quantities in c columns of n instances, all 0 at the start; on the CPU.

    A column belongs to one pair of pretext task and target. Columns do not know each other: each has its own clock, and
    a table of c columns moves as c tables of one column do. A row is pruned when all its columns agree.

    Attributes:
        values: (q, c n), column after column: instance i of column j is in cell j n + i.
        marks: by name, bool (c n), what else is known of each instance.
        buffers: (q, c n) of the momentum; only with `momentum`, as are the next two.
        clock: int32 (c n), the step of its column up to which a cell is up to date (any, if nothing moves by itself).
        now: steps taken, by column.
    """

    def __init__(
        self,
        num_instances: int,
        quantities: int,
        *,
        columns: int = 1,
        momentum: Momentum | None = None,
        marks: tuple[str, ...] = (),
        dtype: torch.dtype = torch.float32,
    ):
        cells = columns * num_instances
        self.columns, self.momentum = columns, momentum
        self.values = torch.zeros(quantities, cells, dtype=dtype)
        self.marks = {mark: torch.zeros(cells, dtype=torch.bool) for mark in marks}
        self._touched = torch.zeros(cells, dtype=torch.bool)
        if momentum is not None:
            self.buffers, self.clock = torch.zeros_like(self.values), torch.zeros(cells, dtype=torch.int32)
            self.now = [0] * columns
            self._frozen = torch.zeros(cells, dtype=torch.bool)

    def start(self, values: Tensor) -> None:
        """Before the first step: the quantities (q, n) of all instances, the same in every column and on every
        worker, within the bounds."""
        assert self.momentum is not None
        within = values.clamp(self.momentum.low, self.momentum.high)
        self.values.copy_(within.repeat(1, self.columns))

    def read(self, rows: Tensor, column: int = 0) -> Tensor:
        """The quantities (q, m) of these rows as they are now, in float64.

        Catching up rounds, so a row counts as touched whether or not a step follows: the others must have it as it is.
        """
        cells = self._cells(rows, column)
        self._catch_up(cells, column)
        self._touched.index_fill_(0, cells, True)
        return self.values.index_select(1, cells).to(torch.float64)

    def write(self, rows: Tensor, values: Tensor, column: int = 0) -> None:
        """Set the quantities (q, m) of these rows."""
        cells = self._cells(rows, column)
        self._touched.index_fill_(0, cells, True)
        self.values.index_copy_(1, cells, values.to(self.values.dtype))

    def mark(self, name: str, rows: Tensor, column: int = 0) -> None:
        """Mark these rows, which were read or written, for good."""
        self.marks[name].index_fill_(0, self._cells(rows, column), True)

    def step(self, rows: Tensor, gradients: Tensor, column: int = 0) -> None:
        """One step of the whole column in which only these rows, already read, have gradients (q, m)."""
        assert self.momentum is not None, "a table without momentum is written"
        cells, how = self._cells(rows, column), self.momentum
        self.now[column] += 1
        buffers = self.buffers.index_select(1, cells).mul_(how.momentum).add_(gradients.to(self.buffers.dtype))
        moved = self.values.index_select(1, cells).sub_(buffers, alpha=how.learning_rate)
        self.buffers.index_copy_(1, cells, buffers)
        self.values.index_copy_(1, cells, moved.clamp_(how.low, how.high))
        self.clock.index_fill_(0, cells, self.now[column])

    def rest(self, steps: int) -> None:
        """Let so many steps pass in which no row has a gradient."""
        self.now = [now + steps for now in self.now]
        self._catch_up_kept()

    def freeze(self, rows: Tensor, column: int | None = None) -> None:
        """Stop these rows where they are (they were pruned), in that column or in all."""
        if self.momentum is None:
            return  # Nothing moves by itself.
        for each in range(self.columns) if column is None else (column,):
            cells = self._cells(rows, each)
            self._catch_up(cells, each)
            self.buffers[:, cells] = 0
            self._frozen[cells] = True

    def share(self) -> None:
        """Let every worker have the rows that the others touched since they last did.

        No row may be touched by two workers between two exchanges. Rows travel with their clocks as they are: catching
        them up first would round them once more than in a run that exchanges less often.
        """
        if collectives.size() > 1:
            mine = self._touched.nonzero().flatten()
            everyones = collectives.gather_rows(mine)
            for part in self._exchanged().values():
                theirs = collectives.gather_rows(part[..., mine].movedim(-1, 0).contiguous())
                part[..., everyones] = theirs.movedim(0, -1)
        self._touched.zero_()

    def end_epoch(self) -> None:
        """Let every worker have the rows that the others touched, and catch up all that are not frozen."""
        self.share()
        self._catch_up_kept()

    def agreed(self, verdicts: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(n,) where the verdicts (c n) of all columns are true: what a pruning rule makes of several columns."""
        return np.asarray(self.by_column(verdicts).all(axis=0))

    def by_column(self, cells: NDArray[Any]) -> NDArray[Any]:
        """(c, n) from values (c n) of the cells."""
        return cells.reshape(self.columns, -1)

    def excerpt(self, rows: Tensor) -> Self:
        """A table of these instances alone, as they are now; what it learns is not learnt here."""
        cells = torch.cat([self._cells(rows, column) for column in range(self.columns)])
        part = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):  # All of them have cells as their last dimension.
                setattr(part, name, value[..., cells])
        part.marks = {name: value[cells] for name, value in self.marks.items()}
        if self.momentum is not None:
            part.now = self.now.copy()
        return part

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from, bit for bit."""
        resting = {} if self.momentum is None else {"now": torch.tensor(self.now), "frozen": self._frozen}
        return {**self._exchanged(), **resting, "touched": self._touched}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        for name, value in self.state_dict().items():
            value.copy_(state[name])
        if self.momentum is not None:
            self.now = state["now"].tolist()

    def _exchanged(self) -> dict[str, Tensor]:
        """What travels with a cell, by its name in the state."""
        moving = {} if self.momentum is None else {"buffers": self.buffers, "clock": self.clock}
        return {"parameters": self.values, **moving, **self.marks}

    def _cells(self, rows: Tensor, column: int) -> Tensor:
        assert 0 <= column < self.columns, "columns are counted from 0"
        return rows + column * (self.values.shape[1] // self.columns) if column else rows

    def _catch_up_kept(self) -> None:
        if self.momentum is not None:
            for column, frozen in enumerate(self._frozen.view(self.columns, -1)):
                self._catch_up(self._cells((~frozen).nonzero().flatten(), column), column)

    def _catch_up(self, cells: Tensor, column: int) -> None:
        """Bring these cells of the column to the present."""
        how = self.momentum
        if how is None or how.momentum == 0:
            return  # Nothing moves between two steps.
        idle = (self.now[column] - self.clock.index_select(0, cells)).to(torch.float64)
        decay = torch.pow(how.momentum, idle)
        travelled = (1 - decay).mul_(how.learning_rate * how.momentum / (1 - how.momentum))
        buffers = self.buffers.index_select(1, cells).to(torch.float64)
        moved = self.values.index_select(1, cells).to(torch.float64).addcmul_(travelled, buffers, value=-1)
        # A cell that is up to date must come out bit for bit as it went in, and so it does: travelled is 0, decay 1.
        self.values.index_copy_(1, cells, moved.clamp_(how.low, how.high).to(self.values.dtype))
        self.buffers.index_copy_(1, cells, buffers.mul_(decay).to(self.buffers.dtype))
        self.clock.index_fill_(0, cells, self.now[column])
