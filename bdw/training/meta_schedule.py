"""Which steps of an epoch learn weights, from which meta-batch, and after which epoch the run ends.

As the config says, unless a time budget asks for less. Decided between epochs; where clocks
matter, by rank 0 for all.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from bdw.config import RunConfig
from bdw.config.budget import Budget
from bdw.data import Target
from bdw.parallel import collectives
from bdw.training import time_budget
from bdw.training.epoch import EpochTotals
from bdw.training.history import History
from bdw.training.progress import EpochProgress
from bdw.training.step_timing import StepSeconds
from bdw.training.time_budget import Choice, Costs, Option
from bdw.training.wall_clock import WallClock
from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.meta_loss import MetaLoss
from bdw.weighting.weighters.protocol import Learns

TimeSteps = Callable[[Sequence[MetaLoss], Tensor], list[StepSeconds]]
"""Times steps with each of the meta-losses on a global batch (indices), and leaves no trace."""

logger = logging.getLogger(__name__)


class MetaSchedule:
    """The choice for the epoch that is being trained, and the number of the run's last epoch as it looks now."""

    def __init__(
        self,
        config: RunConfig,
        budget: Budget,
        meta_losses: Sequence[MetaLoss],
        *,
        learns: Learns,
        target: Target,
        mask: KeepMask,
        history: History,
        clock: WallClock,
        valued: bool = False,
    ):
        """`meta_losses`: the configured one and, for a time budget, those of smaller meta-batches; none where nothing
        is ever learnt for training. `valued`: the source is valued for further targets, with meta-losses of their
        own. The others are the run's own, which it asks how far the run is."""
        self._config = config
        self._budget = budget
        self._meta_losses = meta_losses
        self._learns, self._target = learns, target
        self._mask, self._history, self._clock = mask, history, clock
        self._configured = Option(config.weighter.meta_every if meta_losses or valued else 0, 0)
        self.option = self._next = self._said = self._configured
        self.last_epoch = budget.last_epoch(0, 0, budget.pool)
        self._said_missing = 0
        self._stays_over = False
        self._costs: Costs | None = None
        self._decided_at = self._seconds_before = 0.0
        self._between: dict[bool, float] = {}

    @property
    def meta_loss(self) -> MetaLoss | None:
        """What weights of training are learnt from in this epoch; None where they never are."""
        return self._meta_losses[self.option.design] if self._meta_losses else None

    def columns(self) -> dict[str, int]:
        """This epoch's choice as `EpochReport` has it."""
        meta_loss = self.meta_loss if self.option.meta_every else None
        return {"meta_every": self.option.meta_every, "meta_batch": meta_loss.images_per_batch if meta_loss else 0}

    def start(self, progress: EpochProgress | None, time_steps: TimeSteps) -> None:
        """Before the first epoch of this process, on all workers: time steps, if there is a budget, and decide, unless
        an epoch goes on, with that progress, or the run is over."""
        done, seen = self._history.done
        wanted = self._budget.last_epoch(done, seen, self._images)
        if self._stays_over:
            self._said_missing = max(0, wanted - self.last_epoch)
        else:
            self.last_epoch = wanted
        if done >= self.last_epoch:
            return
        if self._config.budget.time_budget is not None:
            self._costs = self._timed(time_steps)
            self._seconds_before = 0.0 if progress is None else progress.seconds
            self._decided_at = self._clock.seconds()
        if progress is None:
            self._decide(done, seen)

    def begin(self) -> None:
        """A new epoch begins, with what was decided for it."""
        self.option = self._next

    def measured(self, totals: EpochTotals, *, evaluated: bool) -> None:
        """After an epoch that is not yet in the history: learn what it cost, and decide on those that follow."""
        now = self._clock.seconds()
        if self._costs is not None:
            steps = totals.seconds - self._seconds_before
            self._between[evaluated] = max(0.0, now - self._decided_at - steps)
            self._costs = self._updated(self._costs, totals)
            self._decided_at, self._seconds_before = now, 0.0
        done, seen = self._history.done
        self._decide(done + 1, seen + totals.instances)

    def state_dict(self) -> dict[str, Any]:
        """What an epoch needs that goes on, and a run that is over."""
        return {"option": list(self.option), "last_epoch": self.last_epoch, "wanted": self._wanted}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`. A run that ended in time stays over, unless it may now go on for longer."""
        meta_every, design = state["option"]
        if design < max(1, len(self._meta_losses)):
            self.option = self._next = Option(meta_every, design)
        if state["wanted"] == self._wanted:
            self.last_epoch = state["last_epoch"]
            self._stays_over = True

    @property
    def _images(self) -> int:
        """Of an epoch to come."""
        return min(self._mask.count, self._config.drawing.draw_every or self._mask.count)

    @property
    def _wanted(self) -> list[float | None]:
        """What the run was asked to do at most."""
        return [self._budget.epochs, self._budget.images, self._config.budget.time_budget]

    def _decide(self, done: int, seen: int) -> None:
        """On the epochs after so many, which saw so many images."""
        config = self._config
        wanted = self._budget.last_epoch(done, seen, self._images)
        budget = config.budget.time_budget
        if done >= wanted:
            self.last_epoch = wanted
            return
        has_learnt = self._budget.share(done, seen) >= config.weighter.learn_share
        self._next, self.last_epoch = Option(0, 0) if has_learnt else self._configured, wanted
        if budget is None:
            return
        assert self._costs is not None
        steps = math.ceil(self._mask.count / config.optimiser.batch_size)
        options = [self._next]
        if self._next.meta_every:
            may_skip = self._learns is Learns.AFTER_UPDATE
            images = [loss.images_per_batch for loss in self._meta_losses]
            options = time_budget.options(config.weighter.meta_every, images, steps, may_skip=may_skip)
        seconds_left = 60 * budget - self._clock.seconds()
        costs, kept = self._costs, self._mask.count

        def choose() -> Choice:
            return time_budget.choose(
                costs, options, kept=kept, steps=steps, epochs_left=wanted - done, seconds_left=seconds_left
            )

        choice = collectives.from_first(collectives.on_first(choose))
        assert choice is not None
        # One epoch at least, or there is nothing to leave behind.
        self._next, self.last_epoch = choice.option, max(1, done + choice.epochs)
        if collectives.rank() == 0:
            self._say(choice, (done, seen), wanted, seconds_left)

    def _say(self, choice: Choice, behind: tuple[int, int], wanted: int, seconds_left: float) -> None:
        """What differs from what was said last; `behind` the run: epochs, and the images that they saw."""
        config, done, missing = self._config, behind[0], wanted - self.last_epoch
        # Not the number of epochs: with a budget of images it grows as pruning makes them shorter.
        if missing != self._said_missing:
            assert self._costs is not None
            kept = self._mask.count
            each = self._costs.epoch(choice.option, kept, math.ceil(kept / config.optimiser.batch_size))
            last = (self.last_epoch, behind[1] + (self.last_epoch - done) * kept)
            passes = self._budget.passes_done(*last)
            unreached = [milestone for milestone in config.schedule.lr_milestones if milestone >= passes]
            logger.warning(
                "time_budget: %s%s%s",
                f"{self.last_epoch} of {wanted} epochs fit into {config.budget.time_budget:g} minutes: an epoch is "
                f"projected to take {each:.3g} s with the least learning, and {max(0.0, seconds_left):.3g} s are left"
                if self.last_epoch < wanted
                else f"all {wanted} epochs fit now",
                f"; lr_milestones stay where they are, {unreached} will not be reached" if unreached else "",
                f"; the learning rate follows the whole budget, {100 * self._budget.share(*last):.0f} % of it"
                if missing and config.schedule.schedule == "cosine"
                else "",
            )
        if choice.option != self._said and self.last_epoch > done:
            meta_loss = self._meta_losses[choice.option.design] if self._meta_losses else None
            every = choice.option.meta_every
            logger.warning(
                "time_budget: from epoch %d on %s; projected to take another %.3g s of %.3g",
                done + 1,
                "no step learns weights"
                if meta_loss is None or not every
                else f"{'every step' if every == 1 else f'the first of every {every} steps'} learns weights, from "
                f"{meta_loss.images_per_batch} target images",
                choice.seconds,
                seconds_left,
            )
        self._said, self._said_missing = choice.option, missing

    def _timed(self, time_steps: TimeSteps) -> Costs:
        """From the largest and the smallest meta-batch; in between the cost is a straight line."""
        batch = self._mask.kept.nonzero().flatten()[: self._config.optimiser.batch_size]
        ends = [self._meta_losses[0], self._meta_losses[-1]] if self._meta_losses else []
        found = time_steps(ends, batch)
        plain = min(step.plain for step in found) / len(batch)
        if not ends:
            return Costs(plain=plain, learning=())
        largest, smallest = (loss.images_per_batch for loss in ends)
        slope = (found[0].learning - found[-1].learning) / (largest - smallest) if largest > smallest else 0.0
        learning = tuple(
            max(0.0, found[-1].learning + slope * (loss.images_per_batch - smallest)) for loss in self._meta_losses
        )
        return Costs(plain=plain, learning=learning)

    def _updated(self, costs: Costs, totals: EpochTotals) -> Costs:
        """With an epoch's own measurements in the place of those before it, where it made any."""
        learning = costs.learning
        if self.option.meta_every and learning[self.option.design] > 0:
            measured = totals.weighting_seconds / math.ceil(totals.steps / self.option.meta_every)
            factor = measured / learning[self.option.design]
            learning = tuple(factor * seconds for seconds in learning)
        plain = max(0.0, totals.seconds - totals.weighting_seconds) / totals.instances
        # Files alone, and with an evaluation; the one stands for the other until both are known.
        files, evaluation = min(self._between.values()), max(self._between.values())
        before, instances = self._history.done, totals.instances
        after = before[0] + 1, before[1] + instances
        passes = self._budget.passes_done(*after) - self._budget.passes_done(*before)
        fitted_on = len(self._target.train) + len(self._target.validation)
        return dataclasses.replace(
            costs,
            plain=plain,
            learning=learning,
            between=files + (evaluation - files) * passes / self._config.evaluation.evaluate_every,
            finish=evaluation * (fitted_on + len(self._target.test)) / fitted_on,
        )
