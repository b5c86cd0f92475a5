"""What steps cost on this machine, from a few that leave no trace."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from bdw.data.batches import local_part
from bdw.data.image_table import ImageTable
from bdw.parallel import collectives
from bdw.storage.stateful import Stateful, untouched
from bdw.weighting.gradient.target_gradient import TargetGradient
from bdw.weighting.meta_loss import MetaLoss
from bdw.weighting.step import Learner, SourceBatch, train_step

WARM_UP, TIMED = 1, 3
"""Steps of each kind that are made before any is timed, and those that are."""


class StepSeconds(NamedTuple):
    """Medians over steps, on rank 0."""

    plain: float
    """Of what plain training does, too."""
    learning: float
    """Of what learning adds, in the mean over steps that ask the target and others; 0 where nothing is learnt."""


def step_seconds(
    learner: Learner,
    parts: Mapping[str, Stateful],
    meta_losses: Sequence[MetaLoss],
    images: ImageTable,
    batch: Tensor,
    *,
    after_step: Callable[[], None],
) -> list[StepSeconds]:
    """Times steps on a global batch (indices) with each of the meta-losses, and puts everything back as it was.

    `parts`: whatever a step changes. Of a weighter that never learns there is one kind of step, whatever the
    meta-losses. `after_step` is called after every step, for a watchdog. Called on all workers; the same on all of
    them comes back.
    """
    mine = local_part(batch, collectives.rank(), collectives.size())

    def timed(learner: Learner, every: int) -> StepSeconds:
        if learner.alignment is not None:
            gradient = TargetGradient(learner.alignment.target_gradient.momentum, every)
            alignment = dataclasses.replace(learner.alignment, target_gradient=gradient)
            learner = dataclasses.replace(learner, alignment=alignment)
        plain, learning = [], []
        for _ in range(WARM_UP + TIMED):
            began = time.perf_counter()
            measured = train_step(learner, SourceBatch(mine, images[mine], len(batch)))
            float(measured.losses.mean())  # The host waits for the device.
            learning.append(learner.clock.take())
            plain.append(time.perf_counter() - began - learning[-1])
            after_step()
        return StepSeconds(statistics.median(plain[WARM_UP:]), statistics.median(learning[WARM_UP:]))

    def timed_with(meta_loss: MetaLoss | None) -> StepSeconds:
        if learner.alignment is None or meta_loss is None:
            return timed(learner, 1)
        trial = dataclasses.replace(learner, alignment=learner.alignment.unobserved()).asking(meta_loss)
        asking, every = timed(trial, 1), learner.alignment.target_gradient.every
        if every == 1:
            return asking
        others = timed(trial, WARM_UP + TIMED)  # The warm-up asks.
        return StepSeconds(asking.plain, others.learning + (asking.learning - others.learning) / every)

    learner.model.train()
    with untouched(parts):
        found = [timed_with(loss) for loss in meta_losses or (None,)]
    learner.optimiser.zero_grad()
    return collectives.from_first(found)
