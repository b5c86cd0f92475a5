"""SGD with momentum over a table of which a step touches only a few rows, exact and in O(rows touched).

Dense heavy-ball SGD keeps moving a row in every later step, because its buffer is not empty: after s steps without a
gradient the buffer is mu^s m and the parameter has moved by -lr * m * (mu + ... + mu^s). That is caught up in closed
form when the row is next touched, and for all rows at the end of an epoch (docs/design.md, section 2).
Clamping once at the end equals clamping after every step, since the drift between two touches never turns round.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bdw.parallel import collectives


class LazyMomentum:
    """The optimiser of `parameters` (p, n): p quantities for each of n instances, kept within [low, high].

    Attributes: parameters, buffers (p, n); clock (n,): the step up to which a row is up to date (any, without
    momentum); now: steps taken.
    """

    def __init__(self, parameters: Tensor, *, learning_rate: float, momentum: float, low: float, high: float):
        self.parameters = parameters
        self.buffers = torch.zeros_like(parameters)
        self.clock = torch.zeros(parameters.shape[1], dtype=torch.int32)
        self.now = 0
        self.momentum = momentum
        self.low, self.high = low, high
        self._learning_rate = learning_rate

    @property
    def learning_rate(self) -> float:
        """eta; setting it first catches up all rows, whose drift so far belongs to the old rate."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.catch_up()
        self._learning_rate = value

    def catch_up(self, rows: Tensor | None = None) -> None:
        """Bring these rows (indices; default: all) to the present."""
        if self.momentum == 0:
            return  # Nothing moves between two steps.
        if rows is None:
            rows = torch.arange(len(self.clock))
        idle = (self.now - self.clock.index_select(0, rows)).to(torch.float64)
        decay = torch.pow(self.momentum, idle)
        travelled = (1 - decay).mul_(self._learning_rate * self.momentum / (1 - self.momentum))
        buffers = self.buffers.index_select(1, rows).to(torch.float64)
        moved = self.parameters.index_select(1, rows).to(torch.float64).addcmul_(travelled, buffers, value=-1)
        # A row that is up to date must come out bit for bit as it went in, and so it does: travelled is 0, decay 1.
        moved = moved.clamp_(self.low, self.high).to(self.parameters.dtype)
        self.parameters.index_copy_(1, rows, moved)
        self.buffers.index_copy_(1, rows, buffers.mul_(decay).to(self.buffers.dtype))
        self.clock.index_fill_(0, rows, self.now)

    def step(self, rows: Tensor, gradients: Tensor) -> None:
        """One step of the whole table in which only these rows, already caught up, have gradients (p, len(rows))."""
        self.now += 1
        buffers = self.buffers.index_select(1, rows).mul_(self.momentum).add_(gradients.to(self.buffers.dtype))
        moved = self.parameters.index_select(1, rows).sub_(buffers, alpha=self._learning_rate)
        self.buffers.index_copy_(1, rows, buffers)
        self.parameters.index_copy_(1, rows, moved.clamp_(self.low, self.high))
        self.clock.index_fill_(0, rows, self.now)

    def exchange(self, rows: Tensor) -> None:
        """Let every worker have the rows that the others stepped; `rows`: this worker's.

        No row may be stepped by two workers between two exchanges. Rows travel with their clocks as they are: catching
        them up first would round them once more than in a run that exchanges less often.
        """
        if collectives.size() == 1:
            return
        state = torch.cat([self.parameters[:, rows], self.buffers[:, rows]]).T
        clock = collectives.gather_rows(self.clock[rows])
        rows, state = collectives.gather_rows(rows), collectives.gather_rows(state)
        self.parameters[:, rows], self.buffers[:, rows] = state.T.split(len(self.parameters))
        self.clock[rows] = clock

    def freeze(self, rows: Tensor) -> None:
        """Stop these rows where they are (they were pruned)."""
        self.catch_up(rows)
        self.buffers[:, rows] = 0

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from."""
        return {
            "parameters": self.parameters,
            "buffers": self.buffers,
            "clock": self.clock,
            "now": torch.tensor(self.now),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        self.parameters.copy_(state["parameters"])
        self.buffers.copy_(state["buffers"])
        self.clock.copy_(state["clock"])
        self.now = int(state["now"])
