"""How useful the source's images are for further targets, which training knows nothing of (`value_for`).

A valuation is what a weighter learns from, without a say in training: a target's gradient, the instances' agreement
with it, and a table of its own. The estimator watches the training pass once for all of them, so that a further target
costs its target batches and one more product with every instance's gradient. It learns in the steps in which a weighter
would (`meta_every`, `learn_share`); the others cost what they do without valuations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bdw.parallel.randomness import Randomness
from bdw.storage.stateful import Stateful
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.weighters.protocol import TakesVerdicts, Weighter


@dataclass(frozen=True)
class Valuation:
    """Of one target."""

    target: str
    """Its name in the config."""
    alignment: Alignment
    weighter: Weighter
    randomness: Randomness
    """Draws of its own, so that the run's are what they are without valuations."""

    @property
    def target_images(self) -> int:
        """Of a meta-batch on each worker."""
        return self.alignment.meta_loss.images_per_batch

    def begin_epoch(self) -> None:
        """The first step asks the target."""
        self.alignment.target_gradient.begin_epoch()

    def end_epoch(self) -> None:
        """Learn what is learnt once an epoch; the same table on all workers after it."""
        if self.alignment.verdicts is not None:
            assert isinstance(self.weighter, TakesVerdicts), "made for verdicts"
            self.alignment.verdicts.tell(self.weighter)
        self.weighter.end_epoch()

    def parts(self) -> dict[str, Stateful]:
        """All that has a state and is the same on every worker, by name."""
        return {"weighter": self.weighter, **self.alignment.parts()}


def randomness_of(target: str, seed: int, rank: int) -> Randomness:
    """A target's own streams, whichever other targets there are."""
    digest = hashlib.sha256(f"{seed}/{target}".encode()).digest()
    return Randomness(int.from_bytes(digest[:6], "big"), rank)


def parts_of(valuations: Sequence[Valuation]) -> dict[str, Stateful]:
    """The parts of all, by `value_for/<target>/<part>`."""
    found = {valuation.target: valuation.parts() for valuation in valuations}
    return {f"value_for/{target}/{name}": part for target, parts in found.items() for name, part in parts.items()}
