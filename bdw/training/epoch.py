"""One epoch of training steps, over all workers, from its beginning or from the middle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from bdw.data.batches import local_part
from bdw.data.image_table import ImageTable
from bdw.errors import NonFiniteError
from bdw.parallel import collectives
from bdw.parallel.stop_requests import StopRequests
from bdw.runs.break_even import NOTHING_YET, BreakEven
from bdw.runs.metrics import ProgressListener, StepReport
from bdw.training.progress import EpochProgress
from bdw.weighting.step import Learner, SourceBatch, StepMeasurements, train_step


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
    weighting_seconds: float
    """The part of them that learning weights took."""


@dataclass(frozen=True)
class AfterStep:
    """What the workers agreed on after a step."""

    save: bool
    stop: bool


def training_steps(
    learner: Learner,
    images: ImageTable,
    progress: EpochProgress,
    stop_requests: StopRequests,
    *,
    meta_every: int,
    epoch: int,
    epochs: int,
    listener: ProgressListener,
    learning_rate: Callable[[EpochProgress, int], float] | None = None,
    used_after: Callable[[EpochProgress, int], float] | None = None,
    before: BreakEven = NOTHING_YET,
    budget_share: Callable[[EpochProgress], float] | None = None,
) -> Iterator[AfterStep]:
    """Make the epoch's remaining steps and yield after each of them, when its progress may be saved.

    Every instance is trained on by one worker. The first of every `meta_every` steps learns weights (none with 0), if
    they are ever learnt; the others use them as they are. `learning_rate` says alpha of the next step, from the
    progress before it and the instances in it; by default it stays what it is. `used_after`: likewise, the share of the
    budget that is used when that step ends. `before`: the balance of the epochs behind this one. `budget_share`: the
    share of the run's budget that is used, where that is counted in images; then pruning saves nothing, as
    `BreakEven.after` has it. Raises `NonFiniteError`, on every worker, if a loss or a derivative is not finite.
    """
    learner.model.train()
    began = time.perf_counter() - progress.seconds
    last_meta_loss = math.nan
    remaining = progress.batches[progress.steps :]
    # One by one, so that the first step of a long epoch takes no longer than the others.
    fetched = images.batches(local_part(indices, collectives.rank(), collectives.size()) for indices in remaining)
    for step, (indices, raw) in enumerate(zip(remaining, fetched, strict=True), start=progress.steps + 1):
        mine = local_part(indices, collectives.rank(), collectives.size())
        learn = meta_every > 0 and (step - 1) % meta_every == 0
        if learning_rate is not None:
            for group in learner.optimiser.param_groups:
                group["lr"] = learning_rate(progress, len(indices))
        used = 0.0 if used_after is None else used_after(progress, len(indices))
        measured = train_step(learner, SourceBatch(mine, raw, len(indices), used), learn=learn)
        loss, meta_loss, agreed = _checked(measured, step, epoch, stop_requests)
        progress.weighting_seconds += learner.clock.take()
        if meta_loss is not None:
            progress.meta_steps, last_meta_loss = progress.meta_steps + 1, meta_loss
        progress.sums += torch.tensor(
            [
                loss * len(mine),
                math.nan if measured.hits is None else float(measured.hits.sum()),
                meta_loss or 0.0,
                len(mine),
            ],
            dtype=torch.float64,
        )
        progress.steps = step
        progress.instances += len(indices)
        progress.seconds = time.perf_counter() - began
        if collectives.rank() == 0:
            kept_fraction = progress.num_kept / len(images)
            balance = before.after(
                progress.seconds, progress.weighting_seconds, kept_fraction, saves=budget_share is None
            )
            listener.on_step(
                StepReport(
                    epoch=epoch,
                    epochs=epochs,
                    step=step,
                    steps=len(progress.batches),
                    loss=loss,
                    meta_loss=last_meta_loss,
                    kept_fraction=kept_fraction,
                    images_per_second=progress.instances / progress.seconds,
                    budget_share=math.nan if budget_share is None else budget_share(progress),
                    weighting_seconds=balance.spent,
                    saved_seconds=balance.saved,
                )
            )
        yield agreed
        # What whoever asked did in between (a checkpoint, say) is no training.
        began = time.perf_counter() - progress.seconds


def epoch_totals(learner: Learner, progress: EpochProgress) -> EpochTotals:
    """The finished epoch's totals; called on all workers."""
    loss_sum, hit_sum, meta_sum, instances = collectives.total(progress.sums).tolist()
    meta_losses = progress.meta_steps * collectives.size()
    return EpochTotals(
        steps=len(progress.batches),
        instances=round(instances),
        target_instances=learner.meta_batch * meta_losses,
        loss=loss_sum / instances,
        accuracy=hit_sum / instances,
        meta_loss=meta_sum / meta_losses if meta_losses else math.nan,
        seconds=progress.seconds,
        weighting_seconds=progress.weighting_seconds,
    )


def require_finite(learner: Learner, step: int, epoch: int) -> None:
    """`NonFiniteError`, on every worker, unless all parameters and running statistics are finite.

    A checkpoint must never hold what no run could continue from.
    """
    tensors = [t for t in learner.model.state_dict().values() if t.is_floating_point()]
    bad = int(not all(bool(t.isfinite().all()) for t in tensors))
    if collectives.total(torch.tensor(bad)):
        raise NonFiniteError("a parameter", step, epoch)


def _checked(
    measured: StepMeasurements, step: int, epoch: int, stop_requests: StopRequests
) -> tuple[float, float | None, AfterStep]:
    """This worker's mean loss and meta-loss, if any, as numbers, and what is to be done now.

    `NonFiniteError` on all workers, so that none waits, if a quantity is not finite on one of them. One exchange of a
    few integers serves both ends. The host waits for the device here; it has just waited for the derivatives, which the
    weighter needs.
    """
    loss = float(measured.losses.mean())
    meta_loss = None if measured.meta_loss is None else float(measured.meta_loss)
    derivatives = measured.derivatives
    bad = {
        "loss": not math.isfinite(loss),
        "meta_loss": meta_loss is not None and not math.isfinite(meta_loss),
        "meta-gradient": derivatives is not None and not bool(derivatives.isfinite().all()),
    }
    *counts, save, stop = collectives.total(torch.tensor([*bad.values(), *stop_requests.wishes()]).int()).tolist()
    for quantity, count in zip(bad, counts, strict=True):
        if count:
            raise NonFiniteError(quantity, step, epoch)
    return loss, meta_loss, AfterStep(save=bool(save), stop=bool(stop))
