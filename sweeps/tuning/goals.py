"""What a search optimises: measures of the encoder and costs, each minimised or maximised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bdw import evaluation
from bdw.errors import InputError, unknown_option
from bdw.evaluation import Measure
from sweeps.study.objective import SCORE, Direction, Objective

COSTS = {
    "seconds": "wall_seconds",
    "images": "instances_seen",
    "target_images": "target_instances_seen",
    "kept": "kept_fraction",
}
"""Name of a cost -> its column of the epoch reports; all are minimised unless they are asked for otherwise."""
ALIASES = {"linear_accuracy": "accuracy"}
"""Another name of a measure -> its own."""
WAYS: dict[str, Direction] = {"max": "maximize", "min": "minimize"}
MEAN_GAIN, MEAN_RANK = "mean_gain", "mean_rank"
OVERALL = (MEAN_GAIN, MEAN_RANK)
LAST_EPOCH_ALONE = 1e9
"""Passes between evaluations that no run reaches, so that it is evaluated at its end alone."""
Over = Literal["mean_gain", "mean_rank"]


@dataclass(frozen=True)
class Goal:
    """One number to optimise."""

    name: str
    """As on the command line."""
    column: str
    """Of the epoch reports."""
    direction: Direction
    measure: Measure | None
    """None for a cost."""

    @property
    def has_own_direction(self) -> bool:
        """Whether a measure is optimised the way in which it chooses the best epoch."""
        return self.measure is not None and self.measure.higher_is_better == (self.direction == "maximize")

    def __str__(self) -> str:
        """As on the command line, with the direction."""
        return f"{self.name}:{'max' if self.direction == 'maximize' else 'min'}"


@dataclass(frozen=True)
class Goals:
    """All numbers to optimise. The first measure among them chooses a run's best epoch, at which the other measures
    count; costs count at the run's end."""

    goals: tuple[Goal, ...]

    @classmethod
    def parse(cls, words: Sequence[str]) -> Goals:
        """Of words such as `accuracy`, `rankme:max` and `seconds:min`.

        Raises `InputError` for an unknown name or direction, a goal given twice, and goals without a measure.
        """
        found: list[Goal] = []
        for word in words:
            written, colon, way = word.partition(":")
            name = ALIASES.get(written, written)
            if name not in COSTS and name not in evaluation.available():
                raise unknown_option("objective", written, [*COSTS, *evaluation.available(), *ALIASES])
            if colon and way not in WAYS:
                raise InputError(f"objective: {word!r} cannot work; allowed: {written}:max or {written}:min")
            if name in [goal.name for goal in found]:
                raise InputError(f"objective: {name!r} is given twice; allowed: each once")
            found.append(_goal(name, way, is_first=all(goal.measure is None for goal in found)))
        if all(goal.measure is None for goal in found):
            raise InputError(
                f"objective: {' '.join(words) or 'none'} cannot work without a measure, which the cheapest run would "
                f"satisfy; allowed: at least one of {', '.join(evaluation.available())}"
            )
        return cls(tuple(found))

    @property
    def chooser(self) -> Goal:
        """The goal whose measure chooses a run's best epoch."""
        return next(goal for goal in self.goals if goal.measure is not None)

    @property
    def measure(self) -> Measure:
        """The measure that chooses a run's best epoch."""
        assert self.chooser.measure is not None
        return self.chooser.measure

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a run that make it measure all this. Fine-tuning takes long, so that with it a run is evaluated
        at its end alone."""
        names = [goal.name for goal in self.goals if goal.measure is not None]
        others = [name for name in names if name != self.measure.name]
        fields: dict[str, Any] = {"measure": self.measure.name, "monitors": others}
        return fields | ({"evaluate_every": LAST_EPOCH_ALONE} if "fine_tuned_accuracy" in names else {})

    @property
    def ranks_early(self) -> bool:
        """Whether the scores on the way rank trials, as early stopping needs."""
        return len(self.goals) == 1 and self.chooser.has_own_direction

    def objective(self, over: Over | None) -> Objective:
        """The columns of a trial's last report that are its values; `over` several targets and seeds the chooser's
        counts by gains or ranks, of which the larger gain and the smaller rank is the better one."""
        metrics, directions = [], []
        for goal in self.goals:
            is_gain = goal is self.chooser and over == MEAN_GAIN
            metrics.append(MEAN_GAIN if is_gain else goal.column)
            up: Direction = "maximize" if goal.has_own_direction else "minimize"
            directions.append(up if is_gain else goal.direction)
        return Objective(tuple(metrics), tuple(directions))

    def named(self, values: Sequence[float], over: Over | None) -> Mapping[str, float]:
        """Name of every goal, or `mean_gain` for the chooser's, -> value of a trial."""
        names = [MEAN_GAIN if goal is self.chooser and over == MEAN_GAIN else goal.name for goal in self.goals]
        return dict(zip(names, values, strict=True))

    def __str__(self) -> str:
        """As on the command line."""
        return " ".join(map(str, self.goals))


def _goal(name: str, way: str, *, is_first: bool) -> Goal:
    if name in COSTS:
        return Goal(name, COSTS[name], WAYS[way or "min"], None)
    measure = evaluation.measure(name)
    own = "max" if measure.higher_is_better else "min"
    column = SCORE
    if not is_first:
        from bdw.ray.trial import best_epoch_column  # Takes Ray.

        column = best_epoch_column(name)
    return Goal(name, column, WAYS[way or own], measure)
