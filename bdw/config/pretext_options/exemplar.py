"""Options of `exemplar`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.augmentation import AugmentationOptions


@dataclass(frozen=True, kw_only=True)
class ExemplarOptions(AugmentationOptions):
    """Of `exemplar`; the defaults stand for the paper's transformations (Dosovitskiy et al. 2014, section 2.1).

    A crop for its translation and scaling, whose factors 0.7 to 1.4 differ by 2; jitter for contrast and colour, with
    its shift of hue by a tenth of a turn. Its rotation by up to 20 degrees is left out.
    """

    least_area: float = 0.25
    """Smallest share of the image's area in a view's crop; the largest is 1."""
    flip: float = 0.0
    """Probability that a view is turned left to right."""
    jitter: float = 1.0
    """Probability that a view's colours are jittered."""
    jitter_strength: float = 0.5
    """Strength of that: brightness, contrast and saturation change by up to 40 %, hue by a tenth of a turn."""
    grey: float = 0.0
    """Probability that a view loses its colours."""
    blur: float = 0.0
    """Probability that a view is blurred, with a kernel of a tenth of its side."""
    most_classes: int = 32_000
    """Most surrogate classes; the paper has up to 32,000. In a larger source, instances i and i + `most_classes` are
    one class."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.most_classes >= 2, "pretext.most_classes", self.most_classes, "at least 2")
