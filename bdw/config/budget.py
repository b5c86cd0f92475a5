"""How long a run is: a number of source images that pass through training steps, or a number of epochs.

An epoch is one pass over what is kept, so a run that prunes makes short epochs. Counted in epochs, as in the paper, it
ends early. Counted in images, it spends on the images that it kept what it saved on the others, and two methods with
the same budget have done the same work (docs/design.md, section 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

from bdw.config.checks import is_finite_positive, require, require_at_least
from bdw.config.fields import Basic, Length


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """How long a run is."""

    epochs: Basic[Length[int]] = 10
    """Length of the run: passes over the kept part of the source (budget_unit `epochs`), or the budget as passes over
    the whole source (budget_unit `images`)."""
    budget_unit: Literal["epochs", "images"] = "epochs"
    """What the run's length is counted in. `epochs`: as in the paper; a run that prunes ends early. `images`: the run
    ends when epochs x pool size source images have passed through training steps, so that it spends on the images that
    are kept what it saved on the others."""
    budget_images: Basic[Length[int | None]] = None
    """Source images that pass through training steps until the run ends, in the place of epochs. Default: epochs x pool
    size where budget_unit is `images`."""
    time_budget: Length[float | None] = None
    """Minutes in which the run is to end, evaluation and resumed parts included, loading and final_measures not.
    Between epochs it learns weights in fewer steps and from smaller meta-batches (down to 1 shot and 1 query per class,
    8 images for `pretext`) if the projection asks for it, and trains fewer epochs if even that takes too long; a
    warning and metrics.csv say what was done. Such a run is not repeatable bit for bit. Default: no limit."""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        require_at_least("budget_images", self.budget_images, 1, "at least one batch, or none")
        require(
            self.time_budget is None or is_finite_positive(self.time_budget),
            "time_budget",
            self.time_budget,
            "a positive number of minutes, or none",
        )


@dataclass(frozen=True)
class Budget:
    """The length of one run."""

    pool: int
    """Images of the source."""
    epochs: int
    """The run's length where it is counted in epochs."""
    images: int | None
    """The run's length in images; None where it is counted in epochs."""

    @classmethod
    def of(cls, config: BudgetConfig, pool: int) -> Self:
        """The budget of a run with that config on a source of so many images."""
        if config.budget_images is not None:
            return cls(pool, config.epochs, config.budget_images)
        return cls(pool, config.epochs, config.epochs * pool if config.budget_unit == "images" else None)

    @property
    def passes(self) -> float:
        """The run's length in passes over the whole source; for a run counted in epochs, their number."""
        return self.epochs if self.images is None else self.images / self.pool

    def left(self, seen: int) -> int | None:
        """Images that may still be trained on after so many; None where the run is counted in epochs."""
        return None if self.images is None else max(0, self.images - seen)

    def last_epoch(self, done: int, seen: int, kept: int) -> int:
        """The number of the run's last epoch, if every epoch to come is as long as the next one.

        `done`: epochs behind the run; `seen`: images that they trained on; `kept`: images of an epoch to come. It is
        right, and not only a guess, once the last epoch has begun.
        """
        left = self.left(seen)
        return self.epochs if left is None else done + -(-left // max(kept, 1))

    def passes_done(self, done: int, seen: int) -> float:
        """Passes behind a run after so many epochs and images: what milestones and intervals count."""
        return done if self.images is None else seen / self.pool

    def share(self, done: int, seen: int, within: float = 0.0) -> float:
        """Share of the budget that is used, 0 to 1.

        `done`: whole epochs; `seen`: images, those of the epoch that is under way included; `within`: the share of that
        epoch's steps that are made.
        """
        return min(1.0, (done + within) / self.epochs if self.images is None else seen / self.images)

    def is_due(self, every: float, before: tuple[int, int], after: tuple[int, int]) -> bool:
        """Whether something that is done every so many passes is due at the end of an epoch.

        `before` and `after` the epoch: (whole epochs, images seen). Counted in images, the short epochs of a run that
        has pruned do not make it due more often.
        """

        def times(done: int, seen: int) -> int:
            # A hair more, as 0.3 // 0.1 is 2.
            return math.floor(self.passes_done(done, seen) / every + 1e-9)

        return times(*after) > times(*before)
