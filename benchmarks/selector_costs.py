"""What a choice before training takes off the budget of its method, counted in images through a training step."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.errors import InputError
from bdw.training.history import History
from bdw.weighting.selection.cost import Cost

LEARNING = 0.2
"""A source image in an epoch that learns weights costs so much more than in a plain one (docs/faq.md)."""


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What one method pays before it trains."""

    own: float = 0.0
    """For this target alone."""
    shared: float = 0.0
    """For the pool, whatever the number of targets: features, partition, experts."""

    @property
    def alone(self) -> float:
        """What a single target would pay."""
        return self.own + self.shared

    def of_each(self, targets: int) -> float:
        """What each of so many targets pays."""
        return self.own + self.shared / targets


def charge_of(cost: Cost, features_images: int, read_cost: float) -> Charge:
    """What a choice costs.

    Args:
        cost: of the choice.
        features_images: images that were trained on to get the encoder that images are compared by.
        read_cost: of an image that is read or embedded, in images that are trained on.
    """
    read = cost.shared_images - cost.trained_images
    return Charge(own=read_cost * cost.images, shared=features_images + cost.trained_images + read_cost * read)


def left_of(budget: int, paid: float, method: str, batch: int) -> int:
    """Images that a method may still train on; `InputError` if that is less than a batch."""
    left = round(budget - paid)
    if left < batch:
        raise InputError(
            f"images, epochs: a budget of {budget:,} images leaves {method!r}, whose choice costs {paid:,.0f}, less "
            f"than a batch of {batch}; allowed: more images or epochs, more targets, a lower read_cost or experts_share"
        )
    return left


def images_that_taught(history: History) -> int:
    """Source images of the epochs that learnt weights."""
    taught, seen, seconds = 0, 0, 0.0
    for report in history:
        if report.weighting_seconds > seconds:
            taught += report.instances_seen - seen
        seen, seconds = report.instances_seen, report.weighting_seconds
    return taught
