"""Options of `denoising`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require


@dataclass(frozen=True, kw_only=True)
class DenoisingOptions:
    """Of `denoising` (Vincent et al. 2008)."""

    corruption: float = 0.25
    """Share of an image's pixels that are blackened; the paper's choices are 0.1, 0.25 and 0.4."""

    def __post_init__(self) -> None:
        require(0 < self.corruption < 1, "pretext.corruption", self.corruption, "above 0, below 1")
