"""What a run says about itself: a `StepReport` a step, an `EpochReport` an epoch, and who may listen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One training step, for a progress line; this worker's own numbers."""

    epoch: int
    epochs: int
    step: int
    """1-based step within the epoch."""
    steps: int
    """Steps of this epoch."""
    loss: float
    meta_loss: float
    """The last meta-loss of this epoch; NaN where none is computed."""
    kept_fraction: float
    images_per_second: float
    """Source instances a second over all workers, since the epoch began."""
    budget_share: float = math.nan
    """Share of the run's budget used up to this step, 0 to 1; NaN where the budget is counted in epochs."""
    weighting_seconds: float = 0.0
    """As `EpochReport` has it, up to this step."""
    saved_seconds: float = 0.0
    """As `EpochReport` has it, up to this step."""


TIMED = frozenset({"seconds", "wall_seconds", "images_per_second", "weighting_seconds", "saved_seconds"})
"""Fields of an `EpochReport` that differ where a run is repeated; all others are what was computed."""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One epoch over all workers: a row of metrics.csv."""

    epoch: int
    """1-based."""
    steps: int
    loss: float
    """Mean pretext loss over instances, unweighted."""
    meta_loss: float
    """Mean over the steps that computed it; NaN where none did."""
    pretext_accuracy: float
    """Share of views solved while training; NaN where the pretext task knows no right and wrong."""
    validation_score: float
    """The config's `measure` on the target's validation split; NaN in epochs without evaluation."""
    is_best: bool
    """Whether this is the best validation score so far."""
    kept: int
    """Instances kept after this epoch's pruning."""
    kept_fraction: float
    mean_weight: float
    """Mean over all instances of the mean weight."""
    planted_auroc: float
    """AUROC of the mean weight for telling planted junk; NaN where nothing was planted or weights are all equal."""
    instances_seen: int
    """Source instances that passed a training step, since the start."""
    budget_share: float
    """Share of the run's budget (`bdw.config.budget`) that is used, 0 to 1."""
    target_instances_seen: int
    """Target images that passed a meta-loss, since the start."""
    learning_rate: float
    """alpha of the epoch's last step."""
    seconds: float
    """Seconds of this epoch's training steps."""
    wall_seconds: float
    """Seconds of all training, pruning, evaluation and checkpoints since the start, resumed parts included."""
    images_per_second: float
    """Source instances a second in this epoch's steps."""
    weighting_seconds: float
    """Seconds since the start that training steps spent on learning weights, on rank 0."""
    saved_seconds: float
    """Seconds since the start that plain steps would have spent on the pruned instances; NaN where the budget is
    counted in images, since the kept instances get these seconds."""
    meta_every: int
    """Steps of this epoch from one that learnt weights to the next; 0 where no step learnt."""
    meta_batch: int
    """Target images of a meta-batch on each worker; 0 where no step learnt."""
    monitors: Mapping[str, float] = field(default_factory=dict)
    """The config's `monitors` on the validation split by name; NaN in epochs without evaluation."""

    def row(self) -> dict[str, Any]:
        """Column -> value; monitors are columns of their own."""
        values = dataclasses.asdict(self)
        monitors = values.pop("monitors")
        return {**values, **monitors}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The report that has this `row()`."""
        own = {column.name for column in dataclasses.fields(cls)}
        monitors = {name: value for name, value in row.items() if name not in own}
        return cls(**{name: value for name, value in row.items() if name in own}, monitors=monitors)


class ProgressListener(Protocol):
    """Hears of every step and epoch on rank 0."""

    def on_step(self, report: StepReport) -> None:
        """A step has ended."""

    def on_epoch(self, report: EpochReport) -> None:
        """An epoch has ended, its checkpoint is written."""

    def on_measure(self, what: str, done: int, total: int | None) -> None:
        """A measure that takes long has done `done` of `total` parts of `what`."""


class Silent:
    """A listener that says nothing."""

    def on_step(self, report: StepReport) -> None:
        """Nothing."""

    def on_epoch(self, report: EpochReport) -> None:
        """Nothing."""

    def on_measure(self, what: str, done: int, total: int | None) -> None:
        """Nothing."""
