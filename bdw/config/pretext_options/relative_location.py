"""Options of `relative_location`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bdw.config.checks import require
from bdw.config.pretext_options.ranges import require_shares


@dataclass(frozen=True, kw_only=True)
class RelativeLocationOptions:
    """Of `relative_location`; the defaults are the paper's (Doersch et al. 2015, section 3)."""

    patch_size: int | None = None
    """Side of a patch in pixels of the stored image; none for the largest whose nine patches fit into `crop_size`."""
    gap: float = 0.5
    """Space between neighbouring patches, as a share of a patch's side."""
    jitter: float = 7 / 96
    """Most that a patch is moved in either direction, as a share of its side."""
    colours: Literal["drop", "project", "keep"] = "drop"
    """Against learning positions from a lens's colour fringes: `drop` leaves a patch one channel and fills the others
    with faint noise, `project` takes the axis from green to magenta out of all colours, `keep` does nothing."""
    hidden_dim: int | None = None
    """Units of either hidden layer of the head; none for as many as the encoder has features."""
    batch_norm: bool = True
    """Batch norm in the head; without it, and without it in the encoder, a step does not depend on the number of
    workers."""

    def __post_init__(self) -> None:
        size, hidden = self.patch_size, self.hidden_dim
        require(size is None or size >= 1, "pretext.patch_size", size, "at least 1, or none for the largest that fits")
        require(math.isfinite(self.gap) and self.gap >= 0, "pretext.gap", self.gap, "a number from 0 on")
        require_shares(self, "jitter")
        require(hidden is None or hidden >= 1, "pretext.hidden_dim", hidden, "at least 1, or none for the features'")
