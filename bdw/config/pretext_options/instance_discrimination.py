"""Options of `instance_discrimination`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.augmentation import AugmentationOptions
from bdw.config.pretext_options.ranges import require_positive, require_sizes


@dataclass(frozen=True, kw_only=True)
class InstanceDiscriminationOptions(AugmentationOptions):
    """Of `instance_discrimination`; the defaults are the paper's and its authors' code's (Wu et al. 2018)."""

    least_area: float = 0.2
    """Smallest share of the image's area in a view's crop; the largest is 1."""
    jitter: float = 1.0
    """Probability that a view's colours are jittered."""
    jitter_strength: float = 0.5
    """Strength of that: at 0.5, brightness, contrast and saturation change by up to 40 % and hue by a tenth of a turn
    (the authors' code: up to 40 % of a turn)."""
    blur: float = 0.0
    """Probability that a view is blurred, with a kernel of a tenth of its side."""
    temperature: float = 0.07
    """tau of the paper's eq. 2: what cosines are divided by."""
    projection_dim: int = 128
    """Numbers in an embedding, and in an instance's row of the memory."""
    memory_momentum: float = 0.5
    """What stays of an instance's row when it is visited, as in the authors' code; 0 for the paper's text, where the
    new embedding replaces it."""
    proximal: float = 0.0
    """lambda of the paper's eq. 9: how much the squared distance from the instance's row counts. The authors' code has
    the momentum instead."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "temperature")
        require_sizes(self, "projection_dim")
        momentum = self.memory_momentum
        require(0 <= momentum < 1, "pretext.memory_momentum", momentum, "0 to below 1")
        finite = math.isfinite(self.proximal) and self.proximal >= 0
        require(finite, "pretext.proximal", self.proximal, "a number from 0 on")
