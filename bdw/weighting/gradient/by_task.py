"""Transforms where every task has weights of its own: each task's derivatives are transformed for themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bdw.parallel import collectives
from bdw.weighting.gradient.transforms import Transform, Visit


class ByTask:
    """Derivatives (m, tasks) by one transform for each task, which sees the instances that had views for it."""

    def __init__(self, transforms: Sequence[Transform]):
        """One of the same kind for each task."""
        self._of_task = transforms
        self.name = transforms[0].name

    def __call__(self, derivatives: Tensor, visit: Visit) -> Tensor:
        """The derivatives of that visit, transformed; 0 where an instance had no views. Every worker calls it."""
        kept = torch.ones(derivatives.shape, dtype=torch.bool) if visit.kept is None else visit.kept
        counts = collectives.total(kept.sum(dim=0)).tolist()
        result = torch.zeros_like(derivatives)
        for task, (transform, count) in enumerate(zip(self._of_task, counts, strict=True)):
            if count:
                rows = kept[:, task].nonzero().flatten()
                shown = _some(visit, rows, task)._replace(instances=count)
                result[rows.to(result.device), task] = transform(derivatives[rows.to(result.device), task], shown)
        return result

    def state_dict(self) -> dict[str, Any]:
        """The states of those that have one, by the number of their task."""
        return {str(task): each.state_dict() for task, each in enumerate(self._of_task) if hasattr(each, "state_dict")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`."""
        for task, each in enumerate(self._of_task):
            if hasattr(each, "load_state_dict"):
                each.load_state_dict(state[str(task)])


def _some(visit: Visit, rows: Tensor, task: int) -> Visit:
    """What of a visit concerns these instances and that task."""
    on = rows.to(visit.images.device)
    features = visit.features
    if features is not None:
        features = features.unflatten(0, (len(visit.images), -1))[on].flatten(0, 1)
    losses = None if visit.losses is None else visit.losses[on, task]
    return Visit(visit.indices[rows], visit.images[on], visit.instances, losses, features)
