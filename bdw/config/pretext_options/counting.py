"""Options of `counting`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.ranges import require_positive, require_shares, require_sizes


@dataclass(frozen=True, kw_only=True)
class CountingOptions:
    """Of `counting`; the defaults are the paper's (Noroozi et al. 2017, sections 3 and 4)."""

    margin: float = 10.0
    """M: squared distance from which on another image's numbers cost nothing."""
    grey: float = 0.67
    """Probability that an image loses its colours, against colour fringes that tell a quarter from a small image."""
    count_dim: int = 1000
    """Numbers that are counted."""
    hidden_dim: int | None = None
    """Hidden units of the head; none for as many as the encoder has features."""

    def __post_init__(self) -> None:
        hidden = self.hidden_dim
        require_positive(self, "margin")
        require_shares(self, "grey")
        require_sizes(self, "count_dim")
        require(hidden is None or hidden >= 1, "pretext.hidden_dim", hidden, "at least 1, or none for the features'")
