"""Which images the next steps train on, where a pool is too large to be gone through several times."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import is_finite_positive, require, require_at_least


@dataclass(frozen=True, kw_only=True)
class DrawingConfig:
    """Which images the next steps train on, where a pool is too large to be gone through several times."""

    draw_every: int | None = None
    """Draw so many images for an epoch by how useful a regression says that they are, those included that were never
    trained on, in the place of going through the pool. For budgets of a few passes or less, and only with the
    recommended recipe's verdicts, a budget in images and `prune` off. Default: every epoch is all that is kept."""
    draw_floor: float = 0.1
    """Share of a drawing's probability that all images have alike; the rest follows what the regression says."""
    draw_scored: float = 5.0
    """Images that are looked at before a drawing, for each that is drawn: a forward pass of one crop each. Images that
    were never looked at have the floor's probability alone."""
    draw_corrected: bool = False
    """Weight the loss of each image by one over its probability to be in its epoch, so that steps follow the mean over
    the whole pool. It takes back what drawing prefers, and leaves less variance."""

    def __post_init__(self) -> None:
        require_at_least("draw_every", self.draw_every, 1, "at least one batch, or none")
        require(0 < self.draw_floor <= 1, "draw_floor", self.draw_floor, "above 0, at most 1")
        require(is_finite_positive(self.draw_scored), "draw_scored", self.draw_scored, "a positive number")
