"""What the target says: the meta-loss and the design of its batches."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import require
from bdw.config.fields import Basic


@dataclass(frozen=True, kw_only=True)
class MetaConfig:
    """What the target says: the meta-loss and the design of its batches."""

    meta_loss: Basic[str] = "prototype"
    """`prototype` (labels), `pretext` (the pretext loss on target images) or a weighted sum such as
    `prototype+0.5*pretext`."""
    ways: Basic[int] = 10
    """K: classes in an episode."""
    shots: Basic[int] = 5
    """N: images per class that make the prototype."""
    queries: Basic[int] = 5
    """Q: images per class that are classified."""
    target_batch: int = 64
    """Target images in a batch of the pretext meta-loss."""

    def __post_init__(self) -> None:
        require(self.ways >= 2, "ways (K)", self.ways, "at least 2 classes")
        for name, letter in (("shots", " (N)"), ("queries", " (Q)"), ("target_batch", "")):
            require(getattr(self, name) >= 1, name + letter, getattr(self, name), "at least 1 image")
