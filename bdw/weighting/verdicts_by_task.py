"""Verdicts where every task has weights of its own: a regression for each task, of what the derivatives in it say.

Images are described alike for all of them, and the target's are examples of what helps in every task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bdw.weighting.verdicts import Verdicts
from bdw.weighting.weighters.protocol import TakesVerdicts


class VerdictsByTask:
    """Takes in derivatives (m, tasks); has the methods of `Verdicts`."""

    def __init__(self, of_tasks: Sequence[Verdicts]):
        self._of_tasks = of_tasks

    def learn(
        self, indices: Tensor, descriptions: Sequence[Tensor], derivatives: Tensor, kept: Tensor | None = None
    ) -> None:
        """Every task's `Verdicts.learn` of the instances that had views for it, by `kept` (m, tasks)."""
        shown = torch.ones(derivatives.shape, dtype=torch.bool) if kept is None else kept
        for verdicts, own, mine in zip(self._of_tasks, derivatives.unbind(dim=1), shown.unbind(dim=1), strict=True):
            rows = mine.nonzero().flatten()
            if len(rows):  # On all workers, or on none.
                on = rows.to(derivatives.device)
                verdicts.learn(indices[rows], [part[on] for part in descriptions], own[on])

    def learn_examples(self, descriptions: Sequence[Tensor]) -> None:
        """Every task's `Verdicts.learn_examples`, once it has learnt of visits."""
        for verdicts in self._of_tasks:
            if verdicts.has_learnt:
                verdicts.learn_examples(descriptions)

    def measure_examples(self, descriptions: Sequence[Tensor]) -> None:
        """Every task's `Verdicts.measure_examples`, once it has learnt of visits."""
        for verdicts in self._of_tasks:
            if verdicts.has_learnt:
                verdicts.measure_examples(descriptions)

    def tell(self, weighter: TakesVerdicts | None) -> None:
        """Let the weighter learn every task's verdicts in its column; None: they are forgotten."""
        for column, verdicts in enumerate(self._of_tasks):
            verdicts.tell(weighter, column)

    def state_dict(self) -> dict[str, Any]:
        """The states by the number of their task; called on every worker."""
        return {str(task): each.state_dict() for task, each in enumerate(self._of_tasks)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`."""
        for task, each in enumerate(self._of_tasks):
            each.load_state_dict(state[str(task)])
