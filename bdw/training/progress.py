"""How far the epoch that is being trained is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from bdw.config.budget import Budget
from bdw.data.batches import epoch_order, global_batches
from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.training.history import History
from bdw.weighting.drawing import Drawing
from bdw.weighting.keep_mask import KeepMask

Order = Callable[[Tensor, torch.Generator], Tensor]
"""The global indices of an epoch, in their order, from those that are kept: `epoch_order`, or `Drawing.draw`."""


class EpochProgress:
    """How far an epoch is, on this worker: its order, the steps behind it, and their sums."""

    def __init__(
        self,
        kept: Tensor,
        batch_size: int,
        generator: torch.Generator,
        limit: int | None = None,
        order: Order = epoch_order,
    ):
        """Begin an epoch over the kept instances (indices) in an order drawn from the workers' shared generator.

        It ends after the first step by which `limit` instances were trained on, if it is given.
        """
        self._drawn_from = generator.get_state()
        self.batches = _first(global_batches(order(kept, generator), batch_size), limit)
        self.num_kept = len(kept)
        self.steps = 0
        self.instances = 0  # behind it, over all workers
        self.meta_steps = 0
        self.seconds = 0.0
        self.weighting_seconds = 0.0
        # Of losses, shares of views solved and numbers of instances, and of meta-losses over steps.
        self.sums = torch.zeros(4, dtype=torch.float64)

    def state_dict(self) -> dict[str, Any]:
        """What `resumed` continues from, the same on every worker; called on all of them."""
        return {
            "drawn_from": self._drawn_from,
            "steps": self.steps,
            "meta_steps": self.meta_steps,
            "seconds": self.seconds,
            "weighting_seconds": self.weighting_seconds,
            "sums": collectives.gather_rows(self.sums.unsqueeze(0)),
        }

    @classmethod
    def resumed(
        cls,
        state: Mapping[str, Any],
        kept: Tensor,
        batch_size: int,
        limit: int | None = None,
        order: Order = epoch_order,
    ) -> Self:
        """The progress that had this state: bit for bit on as many workers, in total on another number."""
        progress = cls(kept, batch_size, torch.Generator().set_state(state["drawn_from"]), limit, order)
        progress.steps, progress.meta_steps = state["steps"], state["meta_steps"]
        progress.instances = sum(len(batch) for batch in progress.batches[: progress.steps])
        progress.seconds, sums = state["seconds"], state["sums"]
        progress.weighting_seconds = state["weighting_seconds"]
        if len(sums) == collectives.size():
            progress.sums = sums[collectives.rank()].clone()
        elif collectives.rank() == 0:
            progress.sums = sums.sum(dim=0)
        return progress


class CurrentEpoch:
    """The epoch that is being trained; between epochs there is none."""

    def __init__(
        self, batch_size: int, mask: KeepMask, history: History, budget: Budget, drawing: Drawing | None = None
    ):
        """`drawing`: who draws the images of an epoch; None: an epoch is all that is kept."""
        self._batch_size, self._mask, self._history, self._budget = batch_size, mask, history, budget
        self._order: Order = epoch_order if drawing is None else drawing.draw
        self.progress: EpochProgress | None = None

    @property
    def steps(self) -> int:
        """Steps of it that are made; 0 between epochs."""
        return self.progress.steps if self.progress else 0

    def begin(self, generator: torch.Generator) -> EpochProgress:
        """Begin an epoch over what is kept, within what is left of the budget; see `EpochProgress`."""
        self.progress = EpochProgress(self._kept(), self._batch_size, generator, self._limit(), self._order)
        return self.progress

    def end(self) -> None:
        """The epoch is in the history now."""
        self.progress = None

    def state_dict(self) -> dict[str, Any] | None:
        """The progress; None between epochs."""
        return None if self.progress is None else self.progress.state_dict()

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Continue from `state_dict()`, with the keep mask and the history of the same moment.

        Raises `InputError` for a budget that the epoch's steps so far have used up.
        """
        self.progress = None
        if state is None:
            return
        progress = EpochProgress.resumed(state, self._kept(), self._batch_size, self._limit(), self._order)
        if state["steps"] > len(progress.batches):
            whole = EpochProgress.resumed(state, self._kept(), self._batch_size, order=self._order)
            raise used_up(self._budget, self._history.done[1] + whole.instances)
        self.progress = progress

    def _kept(self) -> Tensor:
        return self._mask.kept.nonzero().flatten()

    def _limit(self) -> int | None:
        return self._budget.left(self._history.done[1])


def used_up(budget: Budget, seen: int) -> InputError:
    """The error of a run that trained on more images than it may now."""
    return InputError(f"budget_images: {budget.images:,} is less than the {seen:,} images already trained on")


def _first(batches: Sequence[Tensor], limit: int | None) -> tuple[Tensor, ...]:
    """The batches up to the first by which `limit` instances were trained on."""
    if limit is None:
        return tuple(batches)
    ends = itertools.accumulate(len(batch) for batch in batches)
    return tuple(batch for batch, end in zip(batches, ends, strict=True) if end - len(batch) < limit)
