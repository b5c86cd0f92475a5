"""Options of `mae`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.ranges import require_sizes


@dataclass(frozen=True, kw_only=True)
class MaskedAutoEncoderOptions:
    """Of `mae`; the defaults are the paper's (He et al. 2022)."""

    masked: float = 0.75
    """Share of the patches that the encoder does not see."""
    normalised_pixels: bool = True
    """Draw every patch with mean 0 and variance 1: the better of the paper's two targets (its Table 1d)."""
    decoder_depth: int = 8
    """Blocks of the decoder; 1 serves where nothing is fine-tuned later (its Table 1a)."""
    decoder_width: int = 512
    """Numbers in a token of the decoder."""
    decoder_heads: int = 16
    """Attention heads of the decoder; they divide its width."""

    def __post_init__(self) -> None:
        require(0 < self.masked < 1, "pretext.masked", self.masked, "above 0, below 1")
        require_sizes(self, "decoder_depth", "decoder_heads")
        width, heads = self.decoder_width, self.decoder_heads
        # The places of patches are two coordinates, a sine and a cosine each.
        require(width >= 1 and width % 4 == 0, "pretext.decoder_width", width, "a multiple of 4")
        require(width % heads == 0, "pretext.decoder_heads", heads, f"a divisor of decoder_width {width}")
