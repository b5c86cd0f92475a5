"""The keep mask where every task has weights of its own: an image may stay for one task and go for another."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.weighting.keep_mask import KeepMask, in_order_of_use
from bdw.weighting.weighters.protocol import HasColumns

logger = logging.getLogger(__name__)


class TaskKeepMask(KeepMask):
    """Once pruned for a task, always pruned for it; an image that no task keeps is pruned.

    `kept_by_task` (n, tasks) bool; `pruned_at_epoch_by_task` (n, tasks) int32, 0 while the image is kept for the task.
    """

    def __init__(self, num_instances: int, min_kept: int, tasks: Sequence[str], *, seed: int = 0):
        super().__init__(num_instances, min_kept, seed=seed)
        self.tasks = tuple(tasks)
        self.kept_by_task = torch.ones(num_instances, len(tasks), dtype=torch.bool)
        self.pruned_at_epoch_by_task = torch.zeros(num_instances, len(tasks), dtype=torch.int32)

    @property
    def told(self) -> Tensor:
        """(n, tasks) what a pretext task is told."""
        return self.kept_by_task

    def choose(self, chosen: NDArray[np.bool_]) -> Tensor:
        """Keep only these (n,), for all tasks, before the first epoch, and return the indices that went."""
        gone = super().choose(chosen)
        self.kept_by_task[gone] = False
        self.pruned_at_epoch_by_task[gone] = 1
        return gone

    def prune_by(self, weighter: HasColumns, epoch: int) -> None:
        """Prune what the weighter finds useless, and tell it what went. See `prune_pairs`."""
        usefulness = np.stack([table.mean for table in weighter.column_tables()], axis=1)
        gone = self.prune_pairs(weighter.useless_columns(), usefulness, epoch)
        for column, rows in enumerate(gone.unbind(dim=1)):
            weighter.freeze_column(rows.nonzero().flatten(), column)

    def prune_pairs(self, useless: NDArray[np.bool_], usefulness: NDArray[np.float64], epoch: int) -> Tensor:
        """Prune the useless (n, tasks) and return what went, (n, tasks) bool.

        At least `min_kept` images stay, each for one task at least: where the rule asks for more, those images stay
        whose most useful task, among those that they were kept for, has the highest usefulness (n, tasks), for that
        task; equals are drawn by the seed. A warning says so the first time, and when a task has no image left.
        """
        doomed = torch.from_numpy(useless) & self.kept_by_task
        left = (self.kept_by_task & ~doomed).any(dim=1)
        spared = self.min_kept - int(left.sum())
        if spared > 0:
            best = np.where(self.kept_by_task.numpy(), usefulness, -np.inf)
            candidates = (self.kept & ~left).nonzero().flatten().numpy()
            staying = in_order_of_use(candidates, best.max(axis=1), self._seed)[:spared]
            doomed[torch.from_numpy(staying), torch.from_numpy(best[staying].argmax(axis=1))] = False
            self._warn_of_floor(spared, epoch)
        before = self.kept_by_task.any(dim=0)
        self.kept_by_task &= ~doomed
        self.pruned_at_epoch_by_task[doomed] = epoch
        went = self.kept & ~self.kept_by_task.any(dim=1)
        self.kept[went] = False
        self.pruned_at_epoch[went] = epoch
        for name, had, has in zip(self.tasks, before, self.kept_by_task.any(dim=0), strict=True):
            if had and not has:
                logger.warning(
                    "epoch %d: no image is kept for task %r any more; it is left out from now on", epoch, name
                )
        return doomed

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from."""
        return {
            **super().state_dict(),
            "kept_by_task": self.kept_by_task,
            "pruned_at_epoch_by_task": self.pruned_at_epoch_by_task,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        super().load_state_dict(state)
        self.kept_by_task.copy_(state["kept_by_task"])
        self.pruned_at_epoch_by_task.copy_(state["pruned_at_epoch_by_task"])
