"""Weight 1 for every instance, never learnt, never pruned: plain self-supervised training (RotNet, VAE)."""

from __future__ import annotations

from typing import Self

import numpy as np

from bdw.weighting.selection.fixed_weights import FixedWeighter
from bdw.weighting.weighters.protocol import WeighterContext


class UniformWeighter(FixedWeighter):
    """Plain training through the very same loop."""

    @classmethod
    def from_context(cls, context: WeighterContext) -> Self:
        """For that many instances; nothing else matters."""
        return cls(np.ones(len(context.source)))
