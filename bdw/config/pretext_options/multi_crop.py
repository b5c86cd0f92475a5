"""Options of the tasks that look at large and small crops of an image."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.augmentation import AugmentationOptions


@dataclass(frozen=True, kw_only=True)
class MultiCropOptions(AugmentationOptions):
    """Two large crops, and small ones beside them (Caron et al. 2020, section 3.3, whose defaults these are)."""

    least_area: float = 0.14
    """Smallest share of the image's area in a large crop; the largest is 1."""
    local_crops: int = 6
    """Small crops of an image; 0 for none."""
    local_size: int | None = None
    """Side of the small crops in pixels; none for three sevenths of the large ones' (96 for 224), in whole
    patches for vision transformers."""
    local_least_area: float = 0.05
    """Smallest share of the image's area in a small crop."""
    local_largest_area: float = 0.14
    """Largest share of the image's area in a small crop."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.local_crops >= 0, "pretext.local_crops", self.local_crops, "at least 0")
        size = self.local_size
        require(size is None or size >= 2, "pretext.local_size", size, "at least 2, or none")
        least, largest = self.local_least_area, self.local_largest_area
        require(0 < least <= 1, "pretext.local_least_area", least, "above 0, at most 1")
        require(least <= largest <= 1, "pretext.local_largest_area", largest, f"local_least_area ({least:g}) to 1")
