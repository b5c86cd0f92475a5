"""Options of `colourisation`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require


@dataclass(frozen=True, kw_only=True)
class ColourisationOptions:
    """Of `colourisation`; the default is the paper's (Zhang, Isola and Efros 2016, eq. 4)."""

    uniform: float = 0.5
    """Share of the uniform distribution in the one that class rebalancing divides by (lambda); 1 for no rebalancing."""

    def __post_init__(self) -> None:
        require(0 < self.uniform <= 1, "pretext.uniform", self.uniform, "above 0, at most 1")
