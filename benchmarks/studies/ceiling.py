"""A ceiling: how well a classifier that is told which images are useful finds them by an encoder's features.

Evidence that is shared between images that look alike to the encoder cannot say more than its features do. Where this
ceiling is low, more evidence does not help.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bdw.evaluation.features import Settings, extract_features
from bdw.training.trainer import Trainer

FOLDS = 5


def told_scores(trainer: Trainer, useful: NDArray[np.int8]) -> NDArray[np.float64]:
    """A score (n,) for each source image by the features of the last epoch's encoder.

    Logistic regression on standardised features, told of four fifths of the images whether they are useful (n,), 1 or
    0, scores the last fifth; in turns.
    """
    settings = Settings.from_config(trainer.config)
    images = np.array(trainer.problem.source.images)  # a copy: the store is read-only, which torch warns of
    features = extract_features(trainer.learner.model.encoder, images, settings)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    scores: NDArray[np.float64] = cross_val_predict(classifier, features, useful, cv=folds, method="decision_function")
    return scores
