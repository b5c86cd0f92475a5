"""The labelled side of a problem: images with labels in memory, and the three splits of a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """One split of the target, in memory."""

    images: NDArray[np.uint8]
    """uint8 (n, c, h, w)."""
    labels: NDArray[np.int64]
    """int64 (n,), 0 to C - 1."""
    names: NDArray[np.str_] | None = None
    """Unicode (n,): as the packed data set has them; None for images that come from elsewhere."""

    def __len__(self) -> int:
        return len(self.labels)

    def joined(self, other: LabelledImages) -> LabelledImages:
        """Both splits in one, this one first."""
        return LabelledImages(np.concatenate([self.images, other.images]), np.concatenate([self.labels, other.labels]))


@dataclass(frozen=True, eq=False)
class Target:
    """The labelled side of a problem."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    classes: tuple[str, ...]
    """Class names by label; every class has training images."""
    key: str
    """Short name of the contents of all splits, like the source's content_key."""
    skipped: tuple[Mapping[str, str], ...] = ()
    """What is not used, as the stores' headers list it: name, reason, how many."""
    remarks: tuple[str, ...] = ()
    """Sentences on what became of images when they were packed."""

    @property
    def development(self) -> LabelledImages:
        """Train and validation together: what the paper's classifiers are fitted on for the test split."""
        return self.train.joined(self.validation)
