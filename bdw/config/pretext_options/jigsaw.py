"""Options of `jigsaw`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.ranges import require_shares, require_sizes


@dataclass(frozen=True, kw_only=True)
class JigsawOptions:
    """Of `jigsaw`; the defaults are the paper's (Noroozi and Favaro 2016, sections 3 and 4)."""

    permutations: int = 1000
    """Orders of the nine tiles that are told apart."""
    tile: float = 64 / 75
    """Side of a tile as a share of that of its cell, a third of the crop; its place in the cell is random."""
    colour_shift: int = 2
    """Most pixels that each channel of a tile of a coloured image is moved by, against colour fringes that give places
    away."""
    grey: float = 0.3
    """Probability that an image loses its colours."""
    tile_dim: int = 512
    """Numbers that the head makes of a tile's features before it joins the tiles (fc6)."""
    hidden_dim: int = 4096
    """Hidden units after that (fc8)."""

    def __post_init__(self) -> None:
        most = 10_000
        require(2 <= self.permutations <= most, "pretext.permutations", self.permutations, f"2 to {most:,}")
        require(0 < self.tile <= 1, "pretext.tile", self.tile, "above 0, at most 1")
        require(self.colour_shift >= 0, "pretext.colour_shift", self.colour_shift, "at least 0")
        require_shares(self, "grey")
        require_sizes(self, "tile_dim", "hidden_dim")
