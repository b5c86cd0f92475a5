"""Options of `vicreg`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.pretext_options.augmentation import AugmentationOptions
from bdw.config.pretext_options.ranges import require_positive, require_shares, require_sizes


@dataclass(frozen=True, kw_only=True)
class VICRegOptions(AugmentationOptions):
    """Of `vicreg`; the defaults are the paper's (Bardes, Ponce and LeCun 2022, section 4.2 and appendix C.1)."""

    jitter_strength: float = 0.5
    """Strength of that: at 0.5, brightness, contrast and saturation change by up to 40 % (in the paper, saturation by
    up to 20 %) and hue by a tenth of a turn."""
    solarise: float = 0.1
    """Probability that a view's bright values are inverted."""
    invariance: float = 25.0
    """Weight of the distance between an image's two embeddings; the paper's lambda."""
    variance: float = 25.0
    """Weight of what the embeddings' standard deviations lack of 1; the paper's mu."""
    covariance: float = 1.0
    """Weight of the squared covariances between different numbers; the paper's nu."""
    projection_dim: int = 8192
    """Numbers in an embedding. A matrix takes four bytes for each pair of them."""
    hidden_dim: int = 8192
    """Hidden units of each of the projector's two hidden layers."""
    batch_norm: bool = True
    """Batch norm in the projector; without it, and without it in the encoder, a step does not depend on the number of
    workers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_shares(self, "solarise")
        require_positive(self, "invariance", "variance", "covariance")
        require_sizes(self, "projection_dim", "hidden_dim")
