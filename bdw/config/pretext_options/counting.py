"""Options of `counting`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import is_finite_positive, require


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
        require(is_finite_positive(self.margin), "pretext.margin", self.margin, "a number above 0")
        require(0 <= self.grey <= 1, "pretext.grey", self.grey, "0 to 1")
        require(self.count_dim >= 1, "pretext.count_dim", self.count_dim, "at least 1")
        require(hidden is None or hidden >= 1, "pretext.hidden_dim", hidden, "at least 1, or none for the features'")
