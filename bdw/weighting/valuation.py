"""How useful the source's images are for further targets, which training knows nothing of (`value_for`).

A valuation is what a weighter learns from, without a say in training: a target's gradient, the instances' agreement
with it, and a table of its own. It learns in the steps in which a weighter would (`meta_every`, `learn_share`); the
others cost what they do without valuations.
"""

from __future__ import annotations

from dataclasses import dataclass

from bdw.storage.stateful import Stateful
from bdw.weighting.asked_target import AskedTarget
from bdw.weighting.weighters.protocol import TakesVerdicts, Weighter


@dataclass(frozen=True)
class Valuation(AskedTarget):
    """Of one target."""

    weighter: Weighter

    def end_epoch(self) -> None:
        """Learn what is learnt once an epoch; the same table on all workers after it."""
        if self.alignment.verdicts is not None:
            assert isinstance(self.weighter, TakesVerdicts), "made for verdicts"
            self.alignment.verdicts.tell(self.weighter)
        self.weighter.end_epoch()

    def parts(self) -> dict[str, Stateful]:
        """All that has a state and is the same on every worker, by name."""
        return {"weighter": self.weighter, **super().parts()}
