"""Options of `context_encoder`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.ranges import require_sizes


@dataclass(frozen=True, kw_only=True)
class ContextEncoderOptions:
    """Of `context_encoder`; the defaults are the paper's random blocks (Pathak et al. 2016, section 3.3)."""

    masked: float = 0.25
    """Share of the image's area that the masked squares have together; less is masked where they overlap."""
    blocks: int = 4
    """Masked squares; the paper says several. 1 for a single larger one."""

    def __post_init__(self) -> None:
        require(0 < self.masked < 1, "pretext.masked", self.masked, "above 0, below 1")
        require_sizes(self, "blocks")
