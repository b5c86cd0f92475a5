"""Options of `swav`."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.pretext_options.multi_crop import MultiCropOptions
from bdw.config.pretext_options.ranges import require_positive, require_shares, require_sizes


@dataclass(frozen=True, kw_only=True)
class SwAVOptions(MultiCropOptions):
    """Of `swav`; the defaults are the paper's (Caron et al. 2020, section 3 and appendix A) and its authors' code's."""

    temperature: float = 0.1
    """What cosines are divided by."""
    epsilon: float = 0.05
    """Entropy of the codes: the larger, the more prototypes share an image."""
    iterations: int = 3
    """Of the Sinkhorn-Knopp algorithm."""
    prototypes: int = 3000
    """Into which images are sorted."""
    queue: int = 0
    """Images of earlier steps among which the codes are balanced, too; the paper has 3,840 for small batches."""
    queue_begins: float = 0.075
    """Share of the budget after which the queue is filled; the paper has 15 of 200 epochs."""
    prototypes_rest: float = 0.0
    """Share of the budget in which prototypes stay as they were drawn; the authors' code has one of 200 epochs with
    small batches."""
    projection_dim: int = 128
    """Numbers in a projection."""
    hidden_dim: int = 2048
    """Hidden units of the projector."""
    batch_norm: bool = True
    """Batch norm in the projector; without it, and without it in the encoder, a step does not depend on the number of
    workers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "temperature", "epsilon")
        require(self.prototypes >= 2, "pretext.prototypes", self.prototypes, "at least 2")
        require(self.queue >= 0, "pretext.queue", self.queue, "at least 0")
        require_shares(self, "queue_begins", "prototypes_rest")
        require_sizes(self, "iterations", "projection_dim", "hidden_dim")
