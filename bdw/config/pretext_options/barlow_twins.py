"""Options of `barlow_twins`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import is_finite_positive, require
from bdw.config.pretext_options.augmentation import AugmentationOptions
from bdw.config.pretext_options.ranges import require_positive, require_shares, require_sizes


@dataclass(frozen=True, kw_only=True)
class BarlowTwinsOptions(AugmentationOptions):
    """Of `barlow_twins`; the defaults are the paper's (Zbontar et al. 2021, section 2.2)."""

    jitter_strength: float = 0.5
    """Strength of that: at 0.5, brightness, contrast and saturation change by up to 40 % (in the paper, saturation by
    up to 20 %) and hue by a tenth of a turn."""
    blur: float = 1.0
    """Probability that the first view is blurred, with a kernel of a tenth of its side."""
    second_blur: float = 0.1
    """Probability that the second view is."""
    second_solarise: float = 0.2
    """Probability that the second view's bright values are inverted."""
    off_diagonal: float = 0.005
    """Weight of the squared correlations between different numbers; the paper's lambda."""
    mixed: float = 0.0
    """Weight of the term of mixed images, as a multiple of `off_diagonal`; 0 leaves it out. Its authors' code has 5
    (Bandara, De Melo and Patel 2023)."""
    projection_dim: int = 8192
    """Numbers in an embedding. The matrix takes four bytes for each pair of them."""
    hidden_dim: int = 8192
    """Hidden units of each of the projector's two hidden layers."""
    batch_norm: bool = True
    """Batch norm in the projector; without it, and without it in the encoder, a step does not depend on the number of
    workers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_shares(self, "second_blur", "second_solarise")
        require_positive(self, "off_diagonal")
        is_weight = self.mixed == 0 or is_finite_positive(self.mixed)
        require(is_weight, "pretext.mixed", self.mixed, "0 or a number above it")
        require_sizes(self, "projection_dim", "hidden_dim")
