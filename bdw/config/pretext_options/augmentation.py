"""Options of the tasks that learn from augmented views."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.ranges import require_shares


@dataclass(frozen=True, kw_only=True)
class AugmentationOptions:
    """How views of an image are drawn; the defaults are SimCLR's (Chen et al. 2020, appendix A)."""

    least_area: float = 0.08
    """Smallest share of the image's area in a view's crop; the largest is 1."""
    flip: float = 0.5
    """Probability that a view is turned left to right; 0 for letters and digits."""
    jitter: float = 0.8
    """Probability that a view's colours are jittered."""
    jitter_strength: float = 1.0
    """Strength of that: at 1, brightness, contrast and saturation change by up to 80 % and hue by a fifth of a turn."""
    grey: float = 0.2
    """Probability that a view loses its colours."""
    blur: float = 0.5
    """Probability that a view is blurred, with a kernel of a tenth of its side; the paper has 0 for CIFAR-10."""

    def __post_init__(self) -> None:
        require(0 < self.least_area <= 1, "pretext.least_area", self.least_area, "above 0, at most 1")
        require_shares(self, "flip", "jitter", "grey", "blur")
        strength = self.jitter_strength
        require(0 <= strength <= 2.5, "pretext.jitter_strength", strength, "0 to 2.5, half a turn of hue")
