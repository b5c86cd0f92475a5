"""Options of `vicreg`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import is_finite_positive, require
from bdw.config.pretext_options.augmentation import AugmentationOptions


@dataclass(frozen=True, kw_only=True)
class VICRegOptions(AugmentationOptions):
    """Of `vicreg`; the defaults are the paper's (Bardes, Ponce and LeCun 2022, section 4.2 and appendix C.1)."""

    jitter_strength: float = 0.5
    """Strength of that: at 0.5, brightness, contrast and saturation change by up to 40 % (in the paper, saturation by
    up to 20 %) and hue by a tenth of a turn."""
    solarise: float = 0.1
    """Probability that a view's bright values are inverted."""
    invariance: float = 25.0
    """Weight of the distance between an image's two embeddings; the paper's lambda."""
    variance: float = 25.0
    """Weight of what the embeddings' standard deviations lack of 1; the paper's mu."""
    covariance: float = 1.0
    """Weight of the squared covariances between different numbers; the paper's nu."""
    projection_dim: int = 8192
    """Numbers in an embedding. A matrix takes four bytes for each pair of them."""
    hidden_dim: int = 8192
    """Hidden units of each of the projector's two hidden layers."""
    batch_norm: bool = True
    """Batch norm in the projector; without it, and without it in the encoder, a step does not depend on the number of
    workers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.solarise <= 1, "pretext.solarise", self.solarise, "0 to 1")
        for name in ("invariance", "variance", "covariance"):
            value = getattr(self, name)
            require(is_finite_positive(value), f"pretext.{name}", value, "a number above 0")
        for name in ("projection_dim", "hidden_dim"):
            require(getattr(self, name) >= 1, f"pretext.{name}", getattr(self, name), "at least 1")
