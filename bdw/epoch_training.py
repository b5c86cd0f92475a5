"""One epoch of training steps, over all workers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bdw import collectives
from bdw.data.batches import epoch_order, global_batches, local_part
from bdw.errors import NonFiniteError
from bdw.image_table import ImageTable
from bdw.measurements import ProgressListener, StepReport
from bdw.meta_loss import Augment
from bdw.train_step import Learner, SourceBatch, StepMeasurements, train_step


@dataclass(frozen=True)
class EpochTotals:
    """An epoch's training, over all workers."""

    steps: int
    instances: int
    target_instances: int
    loss: float
    """Mean over instances."""
    accuracy: float
    """Mean over instances of the share of views solved; NaN where there is no right and wrong."""
    meta_loss: float
    """Mean over the workers and the steps that computed it; NaN where none did."""
    seconds: float


def train_epoch(
    learner: Learner,
    images: ImageTable,
    kept: Tensor,
    augment: Augment,
    *,
    batch_size: int,
    meta_every: int,
    epoch: int,
    epochs: int,
    listener: ProgressListener,
) -> EpochTotals:
    """Train once on every kept instance (indices, on the CPU), each on one worker.

    The first of every `meta_every` steps learns weights, if they are ever learnt; the others use them as they are.
    Raises `NonFiniteError`, on every worker, if a loss, a derivative or, at the end, a parameter is not finite.
    """
    learner.model.train()
    batches = global_batches(epoch_order(kept, learner.randomness["order"]), batch_size)
    sums = torch.zeros(4, dtype=torch.float64)
    seen = meta_steps = 0
    last_meta_loss = math.nan
    began = time.perf_counter()
    for step, indices in enumerate(batches, start=1):
        mine = local_part(indices, collectives.rank(), collectives.size())
        batch = augment(images[mine], learner.randomness["augmentation"])
        learn = (step - 1) % meta_every == 0
        measured = train_step(learner, SourceBatch(mine, batch, len(indices)), learn=learn)
        loss, meta_loss = _checked(measured, step, epoch)
        if meta_loss is not None:
            meta_steps, last_meta_loss = meta_steps + 1, meta_loss
        sums += torch.tensor(
            [
                loss * len(mine),
                math.nan if measured.hits is None else float(measured.hits.sum()),
                meta_loss or 0.0,
                len(mine),
            ],
            dtype=torch.float64,
        )
        seen += len(indices)
        if collectives.rank() == 0:
            listener.on_step(
                StepReport(
                    epoch=epoch,
                    epochs=epochs,
                    step=step,
                    steps=len(batches),
                    loss=loss,
                    meta_loss=last_meta_loss,
                    kept_fraction=len(kept) / len(images),
                    images_per_second=seen / (time.perf_counter() - began),
                )
            )
    _raise_if_any([("a parameter", lambda: _all_finite(learner))], len(batches), epoch)
    loss_sum, hit_sum, meta_sum, instances = collectives.total(sums).tolist()
    per_batch = learner.meta_loss.images_per_batch if learner.meta_loss else 0
    return EpochTotals(
        steps=len(batches),
        instances=round(instances),
        target_instances=per_batch * meta_steps * collectives.size(),
        loss=loss_sum / instances,
        accuracy=hit_sum / instances,
        meta_loss=meta_sum / (meta_steps * collectives.size()) if meta_steps else math.nan,
        seconds=time.perf_counter() - began,
    )


def _checked(measured: StepMeasurements, step: int, epoch: int) -> tuple[float, float | None]:
    """This worker's mean loss and meta-loss, if any, as numbers; `NonFiniteError` if any worker's are not finite.

    The host waits for the device here; it has just waited for the derivatives, which the weighter needs.
    """
    loss = float(measured.losses.mean())
    meta_loss = None if measured.meta_loss is None else float(measured.meta_loss)
    derivatives = measured.derivatives
    _raise_if_any(
        [
            ("loss", lambda: math.isfinite(loss)),
            ("meta_loss", lambda: meta_loss is None or math.isfinite(meta_loss)),
            ("meta-gradient", lambda: derivatives is None or bool(derivatives.isfinite().all())),
        ],
        step,
        epoch,
    )
    return loss, meta_loss


def _raise_if_any(checks: list[tuple[str, Callable[[], bool]]], step: int, epoch: int) -> None:
    """`NonFiniteError` for the first quantity that is not finite on some worker, on all of them: none must wait."""
    failed = collectives.total(torch.tensor([0 if finite() else 1 for _, finite in checks])).tolist()
    for (quantity, _), count in zip(checks, failed, strict=True):
        if count:
            raise NonFiniteError(quantity, step, epoch)


def _all_finite(learner: Learner) -> bool:
    """Parameters and running statistics: a checkpoint must never hold what no run could continue from."""
    tensors = (t for t in learner.model.state_dict().values() if t.is_floating_point())
    return all(bool(t.isfinite().all()) for t in tensors)
