"""Which approximation lets a run end in time: a pure function of what steps cost and how much time is left.

Two things make learning cheaper: learning in fewer steps, and smaller meta-batches. Both mean that fewer target images
bear on each source image. Where the noise of the meta-gradient is that of its target batch, a meta-batch of a half, or
learning at half of the visits, doubles the variance of an image's evidence; where it is the image's own, halving the
meta-batch does less. So options are ordered by how many target images they give up, and at equal numbers the one that
learns in more steps goes first. Last comes learning nothing, and if even that takes too long, fewer epochs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bdw.config import MetaConfig

MARGIN = 0.05
"""Share of the time left that a projection leaves free: steps are not all alike, and files take their time."""
TICK = 1e-9
"""Seconds below which nothing is measured; no epoch takes less."""
MIN_TARGET_BATCH = 8
"""Target images below which the meta-batch of the pretext loss is not reduced; 1 shot and 1 query per class below which
that of prototypes is not."""


class Option(NamedTuple):
    """What could be done in the epochs to come."""

    meta_every: int
    """Steps from one that learns to the next; 0: none learns."""
    design: int
    """Which of the run's meta-batch designs, 0 being the configured one."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds, as measured so far."""

    plain: float
    """Of plain training, an instance."""
    learning: tuple[float, ...]
    """That learning adds to a step, by meta-batch design."""
    between: float = 0.0
    """Of everything but steps, an epoch: pruning, evaluation, files."""
    finish: float = 0.0
    """Of the last evaluation, after the last epoch."""

    def epoch(self, option: Option, kept: int, steps: int) -> float:
        """Of an epoch of so many instances and steps."""
        learns = math.ceil(steps / option.meta_every) if option.meta_every else 0
        return kept * self.plain + (learns * self.learning[option.design] if learns else 0.0) + self.between


class Choice(NamedTuple):
    """What to do in the epochs to come, and how long that takes."""

    option: Option
    epochs: int
    """How many; fewer than wanted if they do not fit."""
    seconds: float
    """Projected, for all of them and the end of the run."""


def choose(
    costs: Costs, options: Sequence[Option], *, kept: int, steps: int, epochs_left: int, seconds_left: float
) -> Choice:
    """The first of the options that lets all epochs end in time; if none does, the cheapest and the epochs that fit.

    Args:
        costs: as measured.
        options: least approximate first, at least one.
        kept: instances of an epoch, taken to stay as many.
        steps: of an epoch.
        epochs_left: wanted, at least 1.
        seconds_left: for everything; the projection has to leave `MARGIN` of them free.
    """
    allowed = (1 - MARGIN) * seconds_left
    each = [costs.epoch(option, kept, steps) for option in options]
    for option, seconds in zip(options, each, strict=True):
        total = epochs_left * seconds + costs.finish
        if total <= allowed:
            return Choice(option, epochs_left, total)
    cheapest = min(range(len(options)), key=each.__getitem__)
    fitting = min(epochs_left, max(0, math.floor((allowed - costs.finish) / max(each[cheapest], TICK))))
    return Choice(options[cheapest], fitting, fitting * each[cheapest] + costs.finish)


def options(meta_every: int, target_images: Sequence[int], steps: int, *, may_skip: bool) -> list[Option]:
    """All options of a weighter that learns, least approximate first.

    Intervals are the configured one times powers of two, up to one step that learns per epoch, and then none.

    Args:
        meta_every: the configured interval.
        target_images: of a meta-batch by design, the configured one first, falling.
        steps: of an epoch.
        may_skip: whether there may be steps that learn nothing; without it the interval stays.
    """
    intervals = [meta_every]
    while may_skip and intervals[-1] < steps:
        intervals.append(2 * intervals[-1])
    pairs = [Option(interval, design) for interval in intervals for design in range(len(target_images))]
    # The number of target images per source image falls with this; the sort is stable, small intervals come first.
    pairs.sort(key=lambda option: option.meta_every / target_images[option.design])
    return [*pairs, Option(0, 0)] if may_skip else pairs


def designs(config: MetaConfig) -> list[MetaConfig]:
    """The configured meta-batch and its halves: of shots and queries down to 1, of `target_batch` down to 8."""
    found = [config]
    while True:
        last = found[-1]
        smaller = dataclasses.replace(
            last,
            shots=max(1, last.shots // 2),
            queries=max(1, last.queries // 2),
            target_batch=max(min(MIN_TARGET_BATCH, last.target_batch), last.target_batch // 2),
        )
        if smaller == last:
            return found
        found.append(smaller)
