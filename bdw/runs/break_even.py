"""Has weighting paid yet? Seconds spent on learning weights against seconds saved by pruning, over a whole run.

Spent: what learning adds to training steps (meta pass, tangents, the weighter's update). Saved: what plain training of
the pruned instances would have taken. An instance costs its share of an epoch's seconds without the weighting, so it
costs the same however often weights are learnt. These seconds include drawing the weights, which makes the plain part
of the smallest networks a tenth dearer than a step without weights. Work between epochs is counted on neither side. The
clock is rank 0's; workers wait for each other in every step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class BreakEven:
    """The balance since the start of a run, in seconds of training steps."""

    spent: float = 0.0
    """Seconds spent on weighting."""
    saved: float = 0.0
    """Seconds saved by instances that were not trained on."""

    def after(
        self, seconds: float, weighting_seconds: float, trained_fraction: float, *, saves: bool = True
    ) -> BreakEven:
        """The balance after further training steps of `seconds`, `weighting_seconds` of them spent on weights.

        `trained_fraction`, above 0: the share of the source that was not pruned meanwhile. Without `saves` the run
        spends on other images what pruning saves, and `saved` is NaN.
        """
        if not saves:
            return BreakEven(self.spent + weighting_seconds, math.nan)
        plain = max(seconds - weighting_seconds, 0.0)
        # Seconds of plain training of that share; each pruned image would have cost as much as a kept one.
        saved = plain * (1 - trained_fraction) / trained_fraction
        return BreakEven(self.spent + weighting_seconds, self.saved + saved)


NOTHING_YET = BreakEven()


def in_words(spent: float, saved: float) -> str:
    """`weighting 12.3 s, pruning saved 20.1 s`; empty where neither happened.

    The weighting alone where `saved` is NaN: with a budget of images the kept images get what pruning saves.
    """
    if math.isnan(saved):
        return f"weighting {spent:,.1f} s" if spent else ""
    return f"weighting {spent:,.1f} s, pruning saved {saved:,.1f} s" if spent or saved else ""


def verdict(spent: float, saved: float) -> str:
    """The words of `in_words` with the gain or loss that remains; empty where neither happened."""
    words = in_words(spent, saved)
    if not words or math.isnan(saved):
        return words
    gained = saved - spent
    return f"{words}: {gained:,.1f} s gained" if gained >= 0 else f"{words}: {-gained:,.1f} s short of breaking even"
