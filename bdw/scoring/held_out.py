"""How well a rater predicts weights of images that it did not learn from: what the run's report says of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bdw.evaluation.planted_auroc import planted_auroc
from bdw.scoring.rater import Ratings

GROUPS = 5
"""Groups of images, equally large up to one, that calibration is shown for."""


@dataclass(frozen=True)
class Group:
    """Images of similar predicted mean weight."""

    images: int
    predicted: float
    """Mean over the group of the predicted mean weights."""
    learnt: float
    """The same of those that the run learnt."""
    kept: float
    """Share of the group that the run kept."""


@dataclass(frozen=True)
class HeldOut:
    """Figures over the images of the pool that the rater did not learn from."""

    learnt_from: int
    images: int
    coverage: float
    """Share of images whose learnt mean weight lies in its 95 % interval."""
    correlation: float
    """Pearson's, of predicted and learnt mean weights; NaN where either is constant."""
    kept_auroc: float
    """Probability that a kept image is ranked above a pruned one, ties counting half; NaN where all or none is kept."""
    planted_auroc: float
    """The same of useful images and planted junk; NaN where nothing was planted."""
    planted_auroc_of_run: float
    """That of the run's own mean weights of the same images."""
    groups: tuple[Group, ...]
    """Calibration, the lowest predictions first."""

    @classmethod
    def measured(
        cls,
        ratings: Ratings,
        learnt_from: int,
        mean: NDArray[np.float64],
        kept: NDArray[np.bool_],
        planted: NDArray[np.int8] | None,
    ) -> Self:
        """The figures of images (n,) with these ratings, learnt mean weights, kept and planted tags."""
        inside = (ratings.low <= mean) & (mean <= ratings.high)
        varies = np.ptp(ratings.predicted) > 0 and np.ptp(mean) > 0
        order = np.argsort(ratings.predicted, kind="stable")
        return cls(
            learnt_from=learnt_from,
            images=len(mean),
            coverage=float(inside.mean()),
            correlation=float(np.corrcoef(ratings.predicted, mean)[0, 1]) if varies else math.nan,
            kept_auroc=float(roc_auc_score(kept, ratings.predicted)) if 0 < kept.sum() < len(kept) else math.nan,
            planted_auroc=planted_auroc(ratings.predicted, planted),
            planted_auroc_of_run=planted_auroc(mean, planted),
            groups=tuple(
                Group(len(rows), float(ratings.mean[rows].mean()), float(mean[rows].mean()), float(kept[rows].mean()))
                for rows in np.array_split(order, GROUPS)
                if len(rows)
            ),
        )

    def values(self) -> dict[str, Any]:
        """JSON values that `of_values` takes; NaN is None."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> Self:
        """The figures that `values` came from; `TypeError` or `KeyError` for others."""
        known: dict[str, Any] = {name: math.nan if value is None else value for name, value in values.items()}
        known["groups"] = tuple(Group(**each) for each in values["groups"])
        return cls(**known)
