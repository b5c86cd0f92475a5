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
    """On weighting."""
    saved: float = 0.0
    """By instances that were not trained on."""

    def after(
        self, seconds: float, weighting_seconds: float, trained_fraction: float, *, saves: bool = True
    ) -> BreakEven:
        """The balance after training steps of so many seconds, of which so many went into weights.

        `trained_fraction`, above 0: the share of the source that was not pruned meanwhile. Without `saves` what pruning
        saves is spent on other images, and `saved` is NaN.
        """
        if not saves:
            return BreakEven(self.spent + weighting_seconds, math.nan)
        plain = max(seconds - weighting_seconds, 0.0)
        # Plain training of that share took so long; the others would have cost as much each.
        saved = plain * (1 - trained_fraction) / trained_fraction
        return BreakEven(self.spent + weighting_seconds, self.saved + saved)


NOTHING_YET = BreakEven()


def in_words(spent: float, saved: float) -> str:
    """`weighting 12.3 s, pruning saved 20.1 s`; nothing where neither happened.

    The weighting alone where `saved` is NaN: a budget of images spends on the images that are kept what pruning saves.
    """
    if math.isnan(saved):
        return f"weighting {spent:,.1f} s" if spent else ""
    return f"weighting {spent:,.1f} s, pruning saved {saved:,.1f} s" if spent or saved else ""


def verdict(spent: float, saved: float) -> str:
    """The same with what remains of it; nothing where neither happened."""
    words = in_words(spent, saved)
    if not words or math.isnan(saved):
        return words
    gained = saved - spent
    return f"{words}: {gained:,.1f} s gained" if gained >= 0 else f"{words}: {-gained:,.1f} s short of breaking even"
