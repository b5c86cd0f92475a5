"""Multinomial logistic regression on frozen features, fitted by L-BFGS (the paper's evaluation)."""

from __future__ import annotations

import logging
import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from bdw.data import LabelledImages
from bdw.encoders import Encoder
from bdw.evaluation.features import Features, Settings, extract_features

logger = logging.getLogger(__name__)


def fit(features: Features, labels: NDArray[np.int64], *, max_iterations: int) -> LogisticRegression:
    """The classifier that minimises sum_i cross-entropy_i + (s / 2) ||W||^2 with s = 100 / (classes * d).

    The paper gives s but not whether the cross-entropy is summed or averaged; this is the sum. Stopping at
    `max_iterations` (800 in the paper) before convergence is part of the measure and not an error. A feature that is
    the same for all images has no influence. If all features are, the classifier answers with the largest class, and a
    warning says so.
    """
    num_classes = len(np.unique(labels))
    if len(features) > 1 and not features.std(axis=0).any():
        logger.warning(
            "all %d features are the same for all %d images: the encoder has collapsed, or a wrong layer was named; "
            "a classifier can only guess the largest class",
            features.shape[1],
            len(features),
        )
    strength = 100 / (num_classes * features.shape[1])
    # With two classes scikit-learn fits the difference w of the two rows of W. The best rows are w/2 and -w/2, so that
    # ||W||^2 = ||w||^2 / 2: half the penalty.
    inverse_strength = (2 if num_classes == 2 else 1) / strength
    classifier = LogisticRegression(C=inverse_strength, max_iter=max_iterations, solver="lbfgs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(features, labels)


def accuracy(classifier: LogisticRegression, features: Features, labels: NDArray[np.int64]) -> float:
    """Share of instances (not a mean of batch means) that are classified right."""
    return float(np.mean(classifier.predict(features) == labels))


def evaluate(encoder: Encoder, fitted_on: LabelledImages, measured_on: LabelledImages, settings: Settings) -> float:
    """Accuracy on `measured_on` of the logistic regression fitted on `fitted_on`."""
    train, test = (extract_features(encoder, part.images, settings) for part in (fitted_on, measured_on))
    classifier = fit(train, fitted_on.labels, max_iterations=settings.max_iterations)
    return accuracy(classifier, test, measured_on.labels)
