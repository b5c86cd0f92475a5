"""What steps cost on this machine, from a few that leave no trace."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor

from bdw import collectives
from bdw.data.batches import local_part
from bdw.image_table import ImageTable
from bdw.meta_loss import Augment, MetaLoss
from bdw.train_step import Learner, SourceBatch, train_step

WARM_UP, TIMED = 1, 3
"""Rounds of steps of each kind that are made before any is timed, and those that are; in a round, one step asks the
target for its direction."""


class StepSeconds(NamedTuple):
    """Medians over rounds of what a step takes, on rank 0."""

    plain: float
    """Of what plain training does, too."""
    learning: float
    """Of what learning adds; 0 where nothing is learnt."""


def step_seconds(
    learner: Learner,
    meta_losses: Sequence[MetaLoss],
    images: ImageTable,
    augment: Augment,
    batch: Tensor,
    *,
    after_step: Callable[[], None],
) -> list[StepSeconds]:
    """Times steps on a global batch (indices) with each of the meta-losses, and puts everything back as it was.

    Of a weighter that never learns there is one kind of step, whatever the meta-losses. `after_step` is called after
    every step, for a watchdog. Called on all workers; the same on all of them comes back.
    """
    mine = local_part(batch, collectives.rank(), collectives.size())

    def timed(learner: Learner) -> StepSeconds:
        def step() -> StepSeconds:
            began = time.perf_counter()
            augmented = augment(images[mine], learner.randomness["augmentation"])
            measured = train_step(learner, SourceBatch(mine, augmented, len(batch)))
            float(measured.losses.mean())  # The host waits for the device.
            learning = learner.clock.take()
            found = StepSeconds(time.perf_counter() - began - learning, learning)
            after_step()
            return found

        rounds = [[step() for _ in range(learner.direction.every)] for _ in range(WARM_UP + TIMED)][WARM_UP:]
        plain = statistics.median(each.plain for steps in rounds for each in steps)
        return StepSeconds(plain, statistics.median(statistics.mean(s.learning for s in steps) for steps in rounds))

    learner.model.train()
    with untouched(learner):
        trial = dataclasses.replace(learner, evidence=None)
        found = [timed(dataclasses.replace(trial, meta_loss=loss)) for loss in meta_losses or (None,)]
    return collectives.from_first(found)


@contextmanager
def untouched(learner: Learner) -> Iterator[None]:
    """Whatever is learnt or drawn in the block is forgotten after it."""
    on_device = {"device": next(learner.model.parameters()).device}
    parts: list[tuple[Any, dict[str, Any]]] = [
        (learner.model, {}), (learner.optimiser, {}), (learner.weighter, {}), (learner.direction, on_device),
        (learner.randomness, {}), (learner.shared_derivatives, {}), (learner.natural, on_device),
    ]  # fmt: skip
    before = [(part, where, copy.deepcopy(part.state_dict())) for part, where in parts if part is not None]
    try:
        yield
    finally:
        for part, where, state in before:
            part.load_state_dict(state, **where)
        learner.optimiser.zero_grad()
