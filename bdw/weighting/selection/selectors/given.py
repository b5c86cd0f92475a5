"""A choice by anybody's scores, read from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import SelectorConfig
from bdw.data import Problem
from bdw.errors import InputError
from bdw.weighting.selection.from_file import FromFile
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.selection.size import Size, by_name, weights_of


@dataclass(frozen=True)
class Given:
    """The images of the highest weights; without a size all that the file keeps."""

    scores: FromFile
    size: Size

    @classmethod
    def from_config(cls, config: SelectorConfig) -> Self:
        """With the file of the option `weights_file`; `InputError` without a readable one of good weights."""
        return cls(
            FromFile.of(config.selector_options.weights_file, "selector 'given'"), Size.of(config, required=False)
        )

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """1 for the chosen images (n,); of equal weights the first name goes first.

        `InputError` unless the file names every image exactly once and keeps as many as are wanted.
        """
        order = by_name(problem.source)
        given = self.scores.weights(problem, toolkit)[order]
        above = int((given > 0).sum())
        wanted = self.size.within(len(order))
        if wanted is not None and wanted > above:
            name, value = ("selected_share", self.size.share) if self.size.count is None else ("selected_count", wanted)
            raise InputError(
                f"{name}: {value} asks for {wanted:,} images, but {self.scores.file.path} gives {above:,} a weight "
                f"above 0; allowed: at most {above:,} images"
            )
        best = np.argsort(-given, kind="stable")[: above if wanted is None else wanted]
        return weights_of(order[best], len(order))
