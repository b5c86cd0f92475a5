"""Options of `split_brain`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require


@dataclass(frozen=True, kw_only=True)
class SplitBrainOptions:
    """Of `split_brain` (Zhang, Isola and Efros 2017)."""

    lightness_classes: int = 100
    """Equal classes of lightness, which goes from 0 to 100."""

    def __post_init__(self) -> None:
        require(self.lightness_classes >= 2, "pretext.lightness_classes", self.lightness_classes, "at least 2")
