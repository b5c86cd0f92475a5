"""The shares of useful and of useless images that would stay if every method pruned equally many: those of the lowest
mean weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHARE = 0.5
"""Share of the source to keep: in the middle, since the methods' own rules prune very different numbers of images."""
KEPT = ("useful_kept", "useless_kept")
"""What `shares_kept` tells, a column each."""


def shares_kept(weights: NDArray[np.float64], useful: NDArray[np.int8], share: float = SHARE) -> dict[str, float]:
    """Of all useful and of all useless images, the share among the highest mean weights.

    Equal weights at the border are as likely to stay as each other, so that weights that say nothing keep as much
    of the one as of the other.

    Args:
        weights: (n,) mean weights.
        useful: (n,) 1 for useful, 0 for useless; both occur.
        share: of all n images to keep, in (0, 1), rounded to whole images.
    """
    places = round(share * len(weights))
    border = np.sort(weights)[::-1][places - 1]
    above, tied = weights > border, weights == border
    chance = above + tied * (places - above.sum()) / tied.sum()
    return {name: round(float(chance[useful == value].mean()), 4) for name, value in zip(KEPT, (1, 0), strict=True)}
