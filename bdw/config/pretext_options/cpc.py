"""Options of `cpc`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.augmentation import AugmentationOptions
from bdw.config.pretext_options.ranges import require_sizes


@dataclass(frozen=True, kw_only=True)
class CPCOptions(AugmentationOptions):
    """Of `cpc`; the defaults are the paper's (van den Oord et al. 2018, section 3.2) and, for the context net, those of
    its authors' later paper (Hénaff et al. 2020, appendix)."""

    least_area: float = 0.75
    """Smallest share of the image's area in the crop that is cut into patches; the largest is 1 (the paper crops 260 of
    300 pixels)."""
    jitter: float = 0.0
    """Probability that a view's colours are jittered."""
    grey: float = 1.0
    """Probability that a view loses its colours."""
    blur: float = 0.0
    """Probability that a view is blurred, with a kernel of a tenth of its side."""
    grid: int = 7
    """Patches in a row and in a column; each overlaps its neighbours by half."""
    patch_crop: float = 60 / 64
    """Share of a patch's side that is left of it, at a random place; it is put in the middle of mid-grey."""
    rows_ahead: int = 5
    """Rows below a position whose patches are predicted, as far as the grid goes."""
    context_width: int | None = None
    """Channels within a block of the context net; none for as many as the encoder has features, but at most 256."""
    context_blocks: int = 5
    """Residual blocks of the context net; each sees one row more above, and one column more to either side."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.grid >= 2, "pretext.grid", self.grid, "at least 2")
        require(0 < self.patch_crop <= 1, "pretext.patch_crop", self.patch_crop, "above 0, at most 1")
        require_sizes(self, "rows_ahead", "context_blocks")
        width = self.context_width
        require(width is None or width >= 1, "pretext.context_width", width, "at least 1, or none for the features'")
