"""The oracle (the paper's Table 1): plain training on those source images alone that are known to be useful.

It is the upper end of every comparison, no rival: no method sees what was planted, and this is the only weighter that
looks.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from bdw.errors import InputError
from bdw.weighting.selection.fixed_weights import FixedWeighter
from bdw.weighting.weighters.protocol import WeighterContext


class OracleWeighter(FixedWeighter):
    """Weight 1 for planted useful instances, 0 for all others, which are pruned before the first epoch."""

    @classmethod
    def from_context(cls, context: WeighterContext) -> Self:
        """From the source's planted tags; `InputError` where nothing was planted or nothing useful was."""
        planted = context.source.planted
        if planted is None or not (planted == 1).any():
            known = "nothing is known about its images" if planted is None else "it holds no planted useful image"
            raise InputError(
                f"weighter: 'oracle' cannot work with the source {context.source.path}: {known}; allowed: a source "
                "with planted tags, such as digits, or a mixture that the target is a member of"
            )
        return cls((planted == 1).astype(np.float64))
