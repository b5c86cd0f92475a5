"""Everything that a run has come to, by name: what checkpoints hold and what a run continues from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from bdw.config.budget import Budget
from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness
from bdw.runs.checkpoint import Position
from bdw.storage.stateful import Stateful, restore, state_of
from bdw.training.best_model import BestModel
from bdw.training.history import History
from bdw.training.meta_schedule import MetaSchedule
from bdw.training.progress import CurrentEpoch
from bdw.training.selection_record import SelectionRecord
from bdw.training.wall_clock import WallClock
from bdw.weighting.asked_target import parts_of
from bdw.weighting.drawing import Drawing
from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.step import Learner


@dataclass
class RunState:
    """The parts of one run. Whatever has a state that a resumed run needs is a line of `parts`."""

    budget: Budget
    learner: Learner
    mask: KeepMask
    history: History
    current: CurrentEpoch
    schedule: MetaSchedule
    best: BestModel
    clock: WallClock
    best_of_targets: Mapping[str, BestModel] = field(default_factory=dict)
    """The best model of each of several targets, by name; `best` is then that of the mean score."""
    selection: SelectionRecord | None = None
    """What was chosen before training; None without a selector."""
    drawing: Drawing | None = None
    """Who draws the images of an epoch; None where it is all that is kept."""

    @property
    def position(self) -> Position:
        """Epochs behind the run, and steps of the next."""
        return Position(len(self.history), self.current.steps)

    @property
    def parts(self) -> dict[str, Stateful]:
        """All of them, in the order in which they are restored: what follows may ask what stands before it."""
        return {
            "keep_mask": self.mask,
            **({} if self.selection is None else {"selection": self.selection}),
            "history": self.history,
            **({} if self.drawing is None else {"drawing": self.drawing}),
            "progress": self.current,
            "meta_schedule": self.schedule,
            "best": self.best,
            **{f"best/{target}": best for target, best in self.best_of_targets.items()},
            "wall_seconds": self.clock,
            **self.step_parts,
        }

    @property
    def step_parts(self) -> dict[str, Stateful]:
        """Those that a training step changes; what this run does without is left out."""
        learner = self.learner
        return {
            "model": learner.model,
            "optimiser": learner.optimiser,
            "weighter": learner.weighter,
            **learner.parts(),
            **parts_of("value_for", learner.valuations),
            **parts_of("targets", learner.targets),
            **{f"targets/{c.target}/randomness": self._everyones(c.randomness) for c in learner.targets},
            **{f"value_for/{v.target}/randomness": self._everyones(v.randomness) for v in learner.valuations},
            "randomness": self._everyones(learner.randomness),
        }

    def _everyones(self, randomness: Randomness) -> _OfEveryWorker:
        return _OfEveryWorker(randomness, lambda: self.position)

    def state_dict(self) -> dict[str, Any]:
        """Name -> state of every part, the same on all workers; called on all of them."""
        return state_of(self.parts)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`: bit for bit on as many workers, correctly on another number."""
        restore(self.parts, state)


class _OfEveryWorker:
    """Every worker draws its own random numbers, and all their states are saved."""

    def __init__(self, randomness: Randomness, position: Callable[[], Position]):
        self._randomness = randomness
        self._position = position

    def state_dict(self) -> list[dict[str, Tensor]]:
        return collectives.gather_objects(self._randomness.state_dict())

    def load_state_dict(self, state: Sequence[dict[str, Tensor]]) -> None:
        if len(state) == collectives.size():
            self._randomness.load_state_dict(state[collectives.rank()])
        else:
            self._randomness.continue_as_another_worker(state[0], self._position().name)
