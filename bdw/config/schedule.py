"""How the learning rate falls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bdw.config.checks import is_finite_positive, require


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate falls."""

    schedule: Literal["milestones", "cosine", "constant"] = "milestones"
    """How the learning rate falls: at lr_milestones, along half a cosine to 0 at the end of the budget, or not."""
    warm_up: float = 0.0
    """Share of the budget over which the learning rate rises from 0, in a straight line."""
    lr_milestones: tuple[int, ...] = ()
    """Epochs (budget in images: passes over the whole source) after which the learning rate is multiplied by
    lr_gamma."""
    lr_gamma: float = 0.1
    """Factor at a milestone."""

    def __post_init__(self) -> None:
        require(0 <= self.warm_up < 1, "warm_up", self.warm_up, "0 <= value < 1, a share of the budget")
        require(
            self.schedule == "milestones" or not self.lr_milestones,
            "lr_milestones",
            self.lr_milestones,
            f"none with schedule {self.schedule!r}, or schedule 'milestones'",
        )
        require(
            list(self.lr_milestones) == sorted({m for m in self.lr_milestones if m >= 1}),
            "lr_milestones",
            self.lr_milestones,
            "rising epochs from 1",
        )
        require(is_finite_positive(self.lr_gamma), "lr_gamma", self.lr_gamma, "a positive number")
