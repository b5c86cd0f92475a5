"""Multinomial logistic regression on frozen features, fitted by L-BFGS (the paper's evaluation)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from bdw.config import RunConfig
from bdw.data import LabelledImages
from bdw.data.augment import centre_crop
from bdw.encoders import Encoder

Features = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How features are extracted and classified."""

    crop_size: int
    """Side in pixels of the centre crop."""
    batch_size: int = 256
    max_iterations: int = 800

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """The run's own settings."""
        evaluation = config.evaluation
        return cls(
            crop_size=config.data.crop_size,
            batch_size=evaluation.evaluation_batch,
            max_iterations=evaluation.max_iterations,
        )


def extract_features(encoder: Encoder, images: NDArray[np.uint8], settings: Settings) -> Features:
    """Features (n, d) of centre crops, in evaluation mode and without augmentation; no image is dropped."""
    device = next(encoder.parameters()).device
    was_training = encoder.training
    encoder.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), settings.batch_size):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + settings.batch_size])).to(device)
            parts.append(encoder(centre_crop(batch, settings.crop_size)).float().cpu().numpy())
    encoder.train(was_training)
    return np.concatenate(parts)


def fit(features: Features, labels: NDArray[np.int64], *, max_iterations: int) -> LogisticRegression:
    """The classifier that minimises sum_i cross-entropy_i + (s / 2) ||W||^2 with s = 100 / (classes * d).

    The paper gives s but not whether the cross-entropy is summed or averaged; this is the sum. Stopping at
    `max_iterations` (800 in the paper) before convergence is part of the measure and not an error.
    """
    num_classes = len(np.unique(labels))
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
