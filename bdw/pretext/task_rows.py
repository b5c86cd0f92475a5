"""Which instances of a batch have views for which of several tasks, and how rows of tasks become rows of instances.

Letters: m instances of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bdw.pretext.base import Outputs, Views


@dataclass(frozen=True)
class TaskRows:
    """The instances of a batch that have views for one task."""

    task: int
    """Its number."""
    count: int
    """How many instances; at least one."""
    rows: Tensor | None = None
    """(count,) on the CPU; None for all of the batch."""

    def of(self, values: Tensor) -> Tensor:
        """Their rows of values (m, ...)."""
        return values if self.rows is None else values[self.on(values)]

    def on(self, like: Tensor) -> Tensor:
        """`rows` on the device of that tensor; only where they are some of the batch."""
        assert self.rows is not None
        return self.rows.to(like.device, non_blocking=True)

    def of_views(self, views: Views, inputs: Sequence[Tensor]) -> Views:
        """Their views for the task, which are these inputs."""
        instances = None if views.instances is None else self.of(views.instances)
        return Views(self.of(views.images), tuple(inputs), instances)


def rows_of_tasks(kept: Tensor | None, tasks: int, count: int) -> list[TaskRows]:
    """One for each task that instances have views for, by `kept` (m, tasks); all `count` for all if that is None."""
    if kept is None:
        return [TaskRows(task, count) for task in range(tasks)]
    found = [column.nonzero().flatten() for column in kept.unbind(dim=1)]
    return [TaskRows(task, len(rows), rows) for task, rows in enumerate(found) if len(rows)]


def by_instance(columns: Sequence[Tensor], shares: Sequence[TaskRows], tasks: int, like: Tensor, count: int) -> Tensor:
    """(m, tasks) from one value for every row of every share, 0 where an instance has no views for a task."""
    found = [like.new_zeros(count) for _ in range(tasks)]
    for share, values in zip(shares, columns, strict=True):
        found[share.task] = values if share.rows is None else found[share.task].index_copy(0, share.on(values), values)
    return torch.stack(found, dim=1)


def mean_features(outputs: Sequence[Outputs], shares: Sequence[TaskRows], count: int) -> Tensor:
    """(m, d) means over the views that an instance has; 0 where it has none."""
    total = outputs[0].features.new_zeros(count, outputs[0].features.shape[1])
    views = total.new_zeros(count, 1)
    for share, found in zip(shares, outputs, strict=True):
        of_each = found.features.unflatten(0, (share.count, -1))
        total.index_add_(0, share.on(total), of_each.sum(dim=1))
        views.index_add_(0, share.on(total), views.new_full((share.count, 1), of_each.shape[1]))
    return total / views.clamp(min=1)


def mean_hits(outputs: Sequence[Outputs], shares: Sequence[TaskRows], count: int) -> Tensor | None:
    """(m,) means over an instance's tasks that know hits. One without such a task has the mean of the others, so that
    the batch's mean is theirs. None if no task knows hits."""
    known = [(share, each.hits) for share, each in zip(shares, outputs, strict=True) if each.hits is not None]
    if not known:
        return None
    total, tasks = (known[0][1].new_zeros(count) for _ in range(2))
    for share, hits in known:
        total.index_add_(0, share.on(hits), hits)
        tasks.index_add_(0, share.on(hits), torch.ones_like(hits))
    means = total / tasks.clamp(min=1)
    return torch.where(tasks > 0, means, means.sum() / (tasks > 0).sum())
