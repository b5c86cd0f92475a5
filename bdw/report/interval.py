"""How far a measured share may lie from the true one, given the number of images that it was measured on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bdw.report.wording import percent

QUANTILE = 1.959963984540054
"""Quantile of the standard normal distribution at 97.5 %: a 95 % interval leaves 2.5 % out on either side."""


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval of a share; both ends lie between 0 and 1."""

    low: float
    high: float

    def __contains__(self, share: float) -> bool:
        return self.low <= share <= self.high

    def __str__(self) -> str:
        return f"{percent(self.low).removesuffix(' %')} to {percent(self.high)}"


def wilson(share: float, number_of: int) -> Interval:
    """Wilson's score interval of a share that was counted over a number of images (JASA 22, 1927, page 209).

    Unlike the usual plus and minus it holds near 0 and 1 and for few images. It covers the choice of images only, not
    how much another seed of the same run would differ.
    """
    squared = QUANTILE**2
    scale = 1 + squared / number_of
    middle = (share + squared / (2 * number_of)) / scale
    half = QUANTILE / scale * math.sqrt(share * (1 - share) / number_of + squared / (4 * number_of**2))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
