"""The classifier against a direct minimisation of its documented objective, and the way features are extracted."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import torch

from bdw import encoders
from bdw.data import LabelledImages
from bdw.evaluation import linear_probe
from bdw.evaluation.features import Settings, extract_features


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_minimises_the_documented_objective(num_classes: int) -> None:
    """sum_i cross-entropy_i + (s / 2) ||W||^2, s = 100 / (classes * d), intercepts free."""
    rng = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.int64) % num_classes
    features = (rng.normal(size=(60, 4)) + 0.7 * labels[:, None]).astype(np.float32)
    strength = 100 / (num_classes * 4)

    def objective(flat: np.ndarray) -> float:
        weights, intercepts = np.split(flat, [4 * num_classes])
        weights = weights.reshape(num_classes, 4)
        logs = scipy.special.log_softmax(features @ weights.T + intercepts, axis=1)
        return float(-logs[np.arange(60), labels].sum() + strength / 2 * (weights**2).sum())

    best = scipy.optimize.minimize(objective, np.zeros(5 * num_classes), method="BFGS", options={"gtol": 1e-8}).x
    weights, intercepts = np.split(best, [4 * num_classes])
    expected = scipy.special.softmax(features @ weights.reshape(num_classes, 4).T + intercepts, axis=1)
    classifier = linear_probe.fit(features.astype(np.float64), labels, max_iterations=800)
    np.testing.assert_allclose(classifier.predict_proba(features.astype(np.float64)), expected, atol=2e-3)


def test_stopping_before_convergence_is_no_error() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 6)).astype(np.float32)
    linear_probe.fit(features, np.arange(40, dtype=np.int64) % 4, max_iterations=1)


def test_no_image_is_dropped_and_the_mode_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    encoder = encoders.build("small_cnn", 1, 16).train()
    encoder(torch.randn(16, 1, 16, 16))  # running statistics that differ from the start
    images = np.random.default_rng(0).integers(0, 256, (7, 1, 16, 16), dtype=np.uint8)
    settings = [Settings(crop_size=16, batch_size=size) for size in (7, 3)]
    whole, parts = (extract_features(encoder, images, s) for s in settings)
    assert whole.shape == (7, encoder.feature_dim)
    # In training mode batch norm would make the features depend on the batches.
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)
    assert encoder.training


def test_accuracy_is_a_share_of_instances() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    labels = np.arange(30, dtype=np.int64) % 3
    images = (80 * labels[:, None, None, None] + rng.integers(0, 10, (30, 1, 16, 16))).astype(np.uint8)
    data = LabelledImages(images, labels)
    swapped = LabelledImages(images[:10], np.where(np.arange(10) < 3, (labels[:10] + 1) % 3, labels[:10]))
    encoder, settings = encoders.build("small_cnn", 1, 16), Settings(crop_size=16, batch_size=4)
    assert linear_probe.evaluate(encoder, data, data, settings) == 1.0
    assert linear_probe.evaluate(encoder, data, swapped, settings) == 0.7


def test_constant_features_tell_nothing_and_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.int64) % 2
    telling = (rng.normal(size=(60, 2)) + 3 * labels[:, None]).astype(np.float32)
    padded = np.concatenate([telling, np.full((60, 2), 7, dtype=np.float32)], axis=1)
    classifier = linear_probe.fit(padded, labels, max_iterations=800)
    assert linear_probe.accuracy(classifier, padded, labels) > 0.95


def test_a_collapsed_encoder_is_said_and_guesses_the_largest_class(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.array([0, 1, 1, 1, 2], dtype=np.int64)
    features = np.ones((5, 4), dtype=np.float32)
    classifier = linear_probe.fit(features, labels, max_iterations=100)
    assert linear_probe.accuracy(classifier, features, labels) == 0.6
    assert "all 4 features are the same for all 5 images" in caplog.text
