"""Options of `dino`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.multi_crop import MultiCropOptions
from bdw.config.pretext_options.ranges import require_positive, require_shares, require_sizes


@dataclass(frozen=True, kw_only=True)
class DINOOptions(MultiCropOptions):
    """Of `dino`; the defaults are the paper's (Caron et al. 2021, section 3 and appendix) and its authors' code's."""

    least_area: float = 0.4
    """Smallest share of the image's area in a large crop; the largest is 1. The authors advise 0.14 without small
    crops."""
    local_crops: int = 8
    """Small crops of an image; 0 for none."""
    local_largest_area: float = 0.4
    """Largest share of the image's area in a small crop."""
    jitter_strength: float = 0.5
    """Strength of that: at 0.5, brightness, contrast and saturation change by up to 40 % (in the paper, saturation by
    up to 20 %) and hue by a tenth of a turn."""
    blur: float = 1.0
    """Probability that the first large crop is blurred, with a kernel of a tenth of its side."""
    second_blur: float = 0.1
    """Probability that the second large crop is."""
    second_solarise: float = 0.2
    """Probability that the second large crop's bright values are inverted."""
    local_blur: float = 0.5
    """Probability that a small crop is blurred."""
    temperature: float = 0.1
    """What the encoder's cosines are divided by."""
    first_teacher_temperature: float = 0.04
    """What the teacher's centred cosines are divided by at the start; the lower, the sharper."""
    teacher_temperature: float = 0.07
    """The same after the warm-up."""
    warm_up_share: float = 0.1
    """Share of the budget over which the teacher's temperature rises linearly; the paper has 30 of 300 epochs."""
    teacher_momentum: float = 0.996
    """What stays of the teacher in a step, at the start; it rises to 1 along half a cosine over the budget. With few
    images in a step, more: the authors advise 0.9995 for 256."""
    centre_momentum: float = 0.9
    """What stays of the centre in a step."""
    prototypes: int = 65536
    """Rows of the last layer, into which images are sorted."""
    projection_dim: int = 256
    """Numbers in a projection."""
    hidden_dim: int = 2048
    """Hidden units of each of the projector's two hidden layers."""
    batch_norm: bool = False
    """Batch norm in the projector; without it, and without it in the encoder, a step does not depend on the number of
    workers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_shares(
            self,
            "second_blur",
            "second_solarise",
            "local_blur",
            "warm_up_share",
            "teacher_momentum",
            "centre_momentum",
        )
        require_positive(self, "temperature", "first_teacher_temperature", "teacher_temperature")
        require(self.prototypes >= 2, "pretext.prototypes", self.prototypes, "at least 2")
        require_sizes(self, "projection_dim", "hidden_dim")
