"""Where the time of real training steps goes, by the parts of the algorithm.

The parts are timed from outside, by putting a clock around what a step calls, so that the code that trains knows
nothing of it. Time that a part spends within another part counts for the inner one alone.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast
from unittest import mock

import torch
from torch import Tensor, nn

from bdw.data.image_table import ImageTable
from bdw.parallel.stop_requests import StopRequests
from bdw.training import epoch as epoch_training
from bdw.training.epoch import training_steps
from bdw.training.progress import EpochProgress
from bdw.training.trainer import Trainer
from bdw.weighting import step as train_step
from bdw.weighting.meta_loss import MetaLoss
from bdw.weighting.step import Learner

WAITING = ("gather", "augment", "meta pass: draw")
"""Parts in which the model waits for images."""
PARTS = (
    "gather", "augment", "views", "weights: sample", "forward", "backward", "optimiser",
    "meta pass: draw", "meta pass: forward", "meta pass: backward", "tangents", "weights: update", "checks", "rest",
)  # fmt: skip
"""In the order of a step."""


class PartClock:
    """Seconds by part. On a GPU it waits for the device wherever a part ends, so that what the device does counts for
    the part that asked for it; the sum is then more than a step takes without a clock."""

    def __init__(self, device: torch.device, *, trace: bool = False):
        """With `trace` parts carry their names into torch's profiler."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._device, self._trace = device, trace
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time in here is that part's, but for the parts within it."""
        if self._open and self._open[-1] == "meta pass: draw":
            yield  # A target batch is gathered, augmented and turned by the same objects.
            return
        self._switch()
        self._open.append(name)
        try:
            if self._trace:
                with torch.profiler.record_function(name):
                    yield
            else:
                yield
        finally:
            self._switch()
            self._open.pop()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time being that part's."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return timed

    def _switch(self) -> None:
        """What has passed since the last change belongs to the part that is open now."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


class _Images:
    """An `ImageTable` whose batches are timed where they are waited for."""

    def __init__(self, table: ImageTable, clock: PartClock):
        self._table, self._clock = table, clock

    def __len__(self) -> int:
        return len(self._table)

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        """As the table's."""
        coming = self._table.batches(indices)
        while True:
            with self._clock.part("gather"):
                images = next(coming, None)
            if images is None:
                return
            yield images


class _MetaLoss:
    """A meta-loss whose drawing and forward pass are timed."""

    def __init__(self, loss: Any, clock: PartClock):
        self.images_per_batch = loss.images_per_batch
        self.draw = clock.around("meta pass: draw", loss.draw)
        self._value = clock.around("meta pass: forward", loss)

    def __call__(self, *args: Any) -> Tensor:
        return cast(Tensor, self._value(*args))


def run_steps(trainer: Trainer, steps: int, clock: PartClock | None = None) -> float:
    """Make so many steps of the trainer's first epochs, and return the seconds of all of them.

    The loop is that of a real run, from the permutation on, without what lies between two epochs.
    """
    learner, images = trainer.learner, trainer.images
    with ExitStack() as stack:
        if clock is not None:
            learner, images = _timed(trainer, clock, stack)
        done, seconds = 0, 0.0
        while done < steps:
            kept = trainer.mask.kept.nonzero().flatten()
            progress = EpochProgress(kept, trainer.config.optimiser.batch_size, learner.randomness["order"])
            loop = training_steps(
                learner,
                images,
                progress,
                StopRequests(minutes=60),
                meta_every=trainer.config.weighter.meta_every,
                epoch=1,
                epochs=1,
                listener=trainer.listener,
            )
            took, made = _seconds_of(loop, steps - done, clock, trainer.device)
            done, seconds = done + made, seconds + took
    return seconds


def _seconds_of(loop: Iterator[Any], most: int, clock: PartClock | None, device: torch.device) -> tuple[float, int]:
    """Seconds of at most `most` steps, and the number of steps made."""
    _wait_for(device)
    began, made = time.perf_counter(), 0
    while made < most:
        if clock is None:
            agreed = next(loop, None)
        else:
            with clock.part("rest"):
                agreed = next(loop, None)
        if agreed is None:
            break
        made += 1
    _wait_for(device)
    return time.perf_counter() - began, made


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _timed(trainer: Trainer, clock: PartClock, stack: ExitStack) -> tuple[Learner, Any]:
    """The trainer's learner and images with a clock around every part, until the stack is closed."""
    learner = trainer.learner
    for owner, attribute, name in (
        (learner.model.task, "views", "views"),
        (learner.weighter, "sample", "weights: sample"),
        (learner.optimiser, "step", "optimiser"),
        (learner.optimiser, "zero_grad", "optimiser"),
        (train_step, "weighted_update", "backward"),
        (train_step, "target_gradient", "meta pass: backward"),
        (train_step, "instance_derivatives", "tangents"),
        (train_step, "learn_weights", "weights: update"),
        (epoch_training, "_checked", "checks"),
    ):
        stack.enter_context(mock.patch.object(owner, attribute, clock.around(name, getattr(owner, attribute))))
    timed = dataclasses.replace(
        learner,
        replicated=cast(nn.Module, clock.around("forward", learner.replicated)),
        augment=clock.around("augment", learner.augment),
    ).asking(None if learner.meta_loss is None else cast(MetaLoss, _MetaLoss(learner.meta_loss, clock)))
    return timed, _Images(trainer.images, clock)
