"""Options of `vae`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.pretext_options.ranges import require_sizes


@dataclass(frozen=True, kw_only=True)
class AutoEncoderOptions:
    """Of `vae`; the defaults are those of the paper's appendix."""

    latent_size: int = 1
    """Numbers in a code; each has a mean and a log-variance."""
    decoder_width: int = 100
    """Hidden units of the decoder."""

    def __post_init__(self) -> None:
        require_sizes(self, "latent_size", "decoder_width")
