"""A target of several, each of which asks the instances of a step a question of its own.

The estimator watches the training pass once for all of them. A further target costs its target batches and one more
product with every instance's gradient: next to nothing for the head alone, a tangent pass for the whole model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bdw.parallel.randomness import Randomness
from bdw.storage.stateful import Stateful
from bdw.weighting.gradient.alignment import Alignment


@dataclass(frozen=True)
class AskedTarget:
    """What asks for one target."""

    target: str
    """Its name in the config."""
    alignment: Alignment
    randomness: Randomness
    """Draws of its own, so that what a target asks does not depend on which others there are, and training not on what
    is asked."""

    @property
    def target_images(self) -> int:
        """Of a meta-batch on each worker."""
        return self.alignment.meta_loss.images_per_batch

    def begin_epoch(self) -> None:
        """The first step asks the target."""
        self.alignment.target_gradient.begin_epoch()

    def parts(self) -> dict[str, Stateful]:
        """All that has a state and is the same on every worker, by name."""
        return self.alignment.parts()


def randomness_of(target: str, seed: int, rank: int) -> Randomness:
    """A target's own streams, whichever other targets there are."""
    digest = hashlib.sha256(f"{seed}/{target}".encode()).digest()
    return Randomness(int.from_bytes(digest[:6], "big"), rank)


def parts_of(kind: str, asked: Sequence[AskedTarget]) -> dict[str, Stateful]:
    """The parts of all, by `<kind>/<target>/<part>`."""
    found = {each.target: each.parts() for each in asked}
    return {f"{kind}/{target}/{name}": part for target, parts in found.items() for name, part in parts.items()}
