"""Options of `simclr`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import is_finite_positive, require
from bdw.config.pretext_options.augmentation import AugmentationOptions


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
        require(is_finite_positive(self.temperature), "pretext.temperature", self.temperature, "a number above 0")
        require(self.projection_dim >= 1, "pretext.projection_dim", self.projection_dim, "at least 1")
        hidden = self.hidden_dim
        require(hidden is None or hidden >= 1, "pretext.hidden_dim", hidden, "at least 1, or none for the features'")
