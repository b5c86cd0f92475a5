"""Options of `byol`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.pretext_options.augmentation import AugmentationOptions
from bdw.config.pretext_options.ranges import require_shares, require_sizes


@dataclass(frozen=True, kw_only=True)
class BYOLOptions(AugmentationOptions):
    """Of `byol`; the defaults are the paper's (Grill et al. 2020, section 3.3 and appendix B)."""

    jitter_strength: float = 0.5
    """Strength of that: at 0.5, brightness, contrast and saturation change by up to 40 % (in the paper, saturation by
    up to 20 %) and hue by a tenth of a turn."""
    blur: float = 1.0
    """Probability that the first view is blurred, with a kernel of a tenth of its side."""
    second_blur: float = 0.1
    """Probability that the second view is."""
    second_solarise: float = 0.2
    """Probability that the second view's bright values are inverted."""
    projection_dim: int = 256
    """Numbers in a projection."""
    hidden_dim: int = 4096
    """Hidden units of the projector, and of the predictor."""
    teacher_momentum: float = 0.996
    """What stays of the teacher in a step, at the start; it rises to 1 along half a cosine over the budget."""
    batch_norm: bool = True
    """Batch norm in projector and predictor; without it, and without it in the encoder, a step does not depend on the
    number of workers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_shares(self, "second_blur", "second_solarise", "teacher_momentum")
        require_sizes(self, "projection_dim", "hidden_dim")
