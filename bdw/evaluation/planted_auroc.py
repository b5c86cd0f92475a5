"""How well the weights found what was planted; never shown to the method."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score


def planted_auroc(mean_weight: NDArray[np.float64], planted: NDArray[np.int8] | None) -> float:
    """Probability that a useful instance (planted 1) has a larger mean weight (n,) than junk (0), ties counting half.

    NaN where nothing was planted (none, or -1 = unknown) or all weights are equal, so that there is nothing to rank.
    """
    if planted is None:
        return math.nan
    known = planted >= 0
    labels, scores = planted[known], mean_weight[known]
    if len(np.unique(labels)) < 2 or np.ptp(scores) == 0:
        return math.nan
    return float(roc_auc_score(labels, scores))
