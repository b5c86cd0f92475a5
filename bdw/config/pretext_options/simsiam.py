"""Options of `simsiam`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.pretext_options.augmentation import AugmentationOptions
from bdw.config.pretext_options.ranges import require_sizes


@dataclass(frozen=True, kw_only=True)
class SimSiamOptions(AugmentationOptions):
    """Of `simsiam`; the defaults are the paper's (Chen and He 2021, section 3 and appendix A)."""

    least_area: float = 0.2
    """Smallest share of the image's area in a view's crop; the largest is 1."""
    jitter_strength: float = 0.5
    """Strength of that: at 0.5, brightness, contrast and saturation change by up to 40 % and hue by a tenth of a
    turn."""
    projection_dim: int = 2048
    """Numbers in a projection, and hidden units of the projector."""
    hidden_dim: int = 512
    """Hidden units of the predictor."""
    batch_norm: bool = True
    """Batch norm in the predictor's hidden layer and in every layer of the projector, the last included. Without it the
    features collapse (the paper's Table 3); for comparisons on small problems."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_sizes(self, "projection_dim", "hidden_dim")
