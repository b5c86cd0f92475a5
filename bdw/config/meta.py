"""What the target says: the meta-loss and the design of its batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Container
from dataclasses import dataclass
from typing import Self

from bdw.config.checks import require
from bdw.config.fields import Basic, Free

SIZES = ("ways", "shots", "queries", "target_batch")
"""The fields that say how many target images a batch takes."""


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
    may_shrink: Free[tuple[str, ...]] = ()
    """Which of ways, shots, queries and target_batch become smaller where the target has too few classes or images. A
    field that is set, here or by name, does not unless it is listed."""

    def __post_init__(self) -> None:
        require(self.ways >= 2, "ways (K)", self.ways, "at least 2 classes")
        for name, letter in (("shots", " (N)"), ("queries", " (Q)"), ("target_batch", "")):
            require(getattr(self, name) >= 1, name + letter, getattr(self, name), "at least 1 image")
        require(set(self.may_shrink) <= {*SIZES}, "may_shrink", self.may_shrink, f"some of {', '.join(SIZES)}, or none")

    def without_shrinking(self, given: Container[str]) -> Self:
        """The same, but the fields of these names stay as they are whatever the target has."""
        return dataclasses.replace(self, may_shrink=tuple(name for name in self.may_shrink if name not in given))
