"""How well an expert knows the labels of a target after fast adaptation: a linear layer on its features, nothing more
(Yan, Acuna and Fidler, "Neural Data Server", CVPR 2020, section 3.2).

A target has few labels, so that none is spared: the accuracy is that of cross-validation. Every image's label is told
by a logistic regression that was fitted to the other folds.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from bdw.data import Problem
from bdw.errors import InputError

FOLDS = 5
"""At most; as many as the rarest label has images, where these are fewer."""
ITERATIONS = 200
"""Of L-BFGS at most."""


def require_adaptable(problem: Problem) -> None:
    """`InputError` unless every target has two labels, and two training images of each."""
    for name, target in problem.targets.items():
        labels = target.train.labels
        counts = np.unique(labels[labels >= 0], return_counts=True)[1]
        if (labels < 0).any() or len(counts) < 2 or counts.min() < 2:
            raise InputError(
                f"selector.adaptation: 'linear' needs labels of the target, and {name!r} has {len(counts)} different "
                f"one(s), the rarest of {int(counts.min(initial=0))} training image(s); allowed: none, or a target "
                "with two images of each of two labels"
            )


def adapted_accuracy(features: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> float:
    """Share of images whose label a linear layer on features (m, d) recognises, 0 to 1, in stratified folds that the
    seed draws."""
    # Slow to import, and needed by this mode alone.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(
        min(FOLDS, int(np.unique(labels, return_counts=True)[1].min())), shuffle=True, random_state=seed
    )
    layer = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = cross_val_predict(layer, features, labels, cv=folds)
    return float((found == labels).mean())
