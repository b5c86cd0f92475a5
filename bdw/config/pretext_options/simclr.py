"""Options of `simclr`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.augmentation import AugmentationOptions
from bdw.config.pretext_options.ranges import require_positive, require_sizes


@dataclass(frozen=True, kw_only=True)
class SimCLROptions(AugmentationOptions):
    """Of `simclr`; the defaults are the paper's (Chen et al. 2020)."""

    temperature: float = 0.5
    """What cosines are divided by; 0.5 is the paper's for CIFAR-10 (appendix B.9), 0.1 its for ImageNet."""
    projection_dim: int = 128
    """Numbers in a projection."""
    hidden_dim: int | None = None
    """Hidden units of the projector; none for as many as the encoder has features."""
    batch_norm: bool = True
    """Batch norm in the projector; without it, and without it in the encoder, a step does not depend on the number of
    workers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "temperature")
        require_sizes(self, "projection_dim")
        hidden = self.hidden_dim
        require(hidden is None or hidden >= 1, "pretext.hidden_dim", hidden, "at least 1, or none for the features'")
