"""A measure: how far the classes' mean features lie apart, compared with how far images of a class lie apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bdw.evaluation import Examination, Measure
from bdw.evaluation.features import extract_features


def separation(features: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Variance (summed over d) of the classes' means over the mean variance within classes, of (n, d); Fisher's ratio.

    0 where all means are the same; infinite where no class varies.
    """
    found = features.astype(np.float64)
    classes = [found[labels == label] for label in np.unique(labels)]
    between = np.var([each.mean(axis=0) for each in classes], axis=0).sum()
    within = np.mean([each.var(axis=0).sum() for each in classes])
    return float(between / within) if within > 0 else float("inf" if between > 0 else 0.0)


def _evaluate(of: Examination) -> float:
    return separation(extract_features(of.encoder, of.measured_on.images, of.settings), of.measured_on.labels)


MEASURE = Measure(
    name="class_separation",
    label="class separation",
    explanation="Variance between classes over variance within, higher is better",
    higher_is_better=True,
    is_share=False,
    evaluate=_evaluate,
)
