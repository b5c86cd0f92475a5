"""Importance weights by a classifier of the pool's labels (Ngiam et al., "Domain adaptive transfer learning with
specialist models", 2018, section 3).

A classifier of the pool's labels y gives every target image a pseudo-label. An image of the pool weighs P_t(y) / P_s(y)
by its label: how often the target has it over how often the pool has it. Images are drawn by these weights without
replacement, so that labels that the target never has come last. The classifier is a logistic regression on fixed
features, where the paper has a network trained for the purpose.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import SelectorConfig
from bdw.data import Problem
from bdw.errors import InputError
from bdw.weighting.selection.drawing import drawn
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.selection.size import Size, weights_of
from bdw.weighting.selection.vectors import Features, require_features, vectors_of

IMPORTANCE = 36
"""Stream of random numbers, beside those of other selectors."""
ITERATIONS = 800
"""Of L-BFGS at most."""


@dataclass(frozen=True)
class Importance:
    """Images drawn by how much more often the target has their label."""

    size: Size
    features: str

    @classmethod
    def from_config(cls, config: SelectorConfig) -> Self:
        """With the config's size and `features`, both of which it needs."""
        return cls(Size.of(config), require_features(config.selector_options, "importance"))

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """1 for the drawn images (n,); `InputError` for a pool without two labels. An image without a label has that
        which the classifier gives it."""
        wanted = self.size.of_all(len(problem.source))
        require_labels(problem, "selector: 'importance'")
        vectors = vectors_of(problem, self.features, toolkit)
        labels = problem.source.labels[vectors.order]
        ratios = label_ratios(vectors.pool, labels, vectors.target)
        generator = np.random.default_rng([toolkit.seed, IMPORTANCE])
        return weights_of(vectors.order[drawn(ratios, wanted, generator)], len(labels))


def require_labels(problem: Problem, who: str) -> None:
    """`InputError` that says who needs labels of the pool, unless it has at least two different ones."""
    labels = problem.source.labels
    different = len(np.unique(labels[labels >= 0]))
    if different < 2:
        raise InputError(
            f"{who} needs labels of the pool, and {problem.source.path} has {different} different one(s); allowed: a "
            "source with labels (an image folder with one sub-folder per class, for example)"
        )


def label_ratios(pool: Features, labels: NDArray[np.int64], target: Features) -> NDArray[np.float64]:
    """P_t(y_i) / P_s(y_i) of every image (n,) of the pool.

    Args:
        pool: features (n, d).
        labels: (n,), -1 for none.
        target: features (m, d).
    """
    # Slow to import, and needed by this selector alone.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    known = labels >= 0
    scaler = StandardScaler().fit(pool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier = LogisticRegression(max_iter=ITERATIONS).fit(scaler.transform(pool[known]), labels[known])
    own = labels.copy()
    if not known.all():
        own[~known] = classifier.predict(scaler.transform(pool[~known]))
    count = int(own.max()) + 1
    of_pool = np.bincount(own, minlength=count) / len(own)
    of_target = np.bincount(classifier.predict(scaler.transform(target)), minlength=count) / len(target)
    ratios = np.divide(of_target, of_pool, out=np.zeros(count), where=of_pool > 0)
    return np.asarray(ratios[own])
