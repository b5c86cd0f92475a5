"""FixMatch with balanced classes: weights by hand, one step against a plain loop, and what unlabelled images add."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from bdw import encoders
from bdw.data import LabelledImages
from bdw.data.augment import random_crop_flip
from bdw.encoders import Encoder
from bdw.evaluation import semi_supervised
from bdw.evaluation.features import Settings
from bdw.evaluation.semi_supervised import UnlabelledImages, pseudo_labels
from bdw.pretext.views.augmentation import Augmentation

SETTINGS = Settings(crop_size=16, semi_supervised_steps=60, seed=5)


def images_of(labels: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """Bars at one of three heights, faint among noise."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (len(labels), 1, 16, 16))
    for label in range(3):
        images[labels == label, :, 5 * label : 5 * label + 5] += 40
    return images.astype(np.uint8)


def labelled(count: int, seed: int) -> LabelledImages:
    labels = np.arange(count, dtype=np.int64) % 3
    return LabelledImages(images_of(labels, seed), labels)


def unlabelled(count: int, seed: int) -> UnlabelledImages:
    """Every second image of twice as many; the others are white, and not kept."""
    images = np.full((2 * count, 1, 16, 16), 255, dtype=np.uint8)
    images[::2] = images_of(np.arange(count, dtype=np.int64) % 3, seed)
    return UnlabelledImages(images, np.arange(0, 2 * count, 2))


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return encoders.build("mlp", 1, 16)


def rows(*confident: tuple[int, float]) -> torch.Tensor:
    """Probabilities over three classes, float64: of each (class, probability) the rest goes to the other two alike."""
    found = torch.empty(len(confident), 3, dtype=torch.float64)
    for row, (label, probability) in enumerate(confident):
        found[row] = (1 - probability) / 2
        found[row, label] = probability
    return found


def test_thresholds_and_weights_are_those_of_boss() -> None:
    """Counts 4, 2 and 1: thresholds 0.95, 0.85 and 0.80. Of 3, 1 and 1 that pass, each class has a third of 5."""
    probabilities = rows((0, 0.96), (0, 0.99), (0, 0.95), (0, 0.94), (1, 0.86), (1, 0.84), (2, 0.81))
    labels, weights = pseudo_labels(probabilities)
    assert labels.tolist() == [0, 0, 0, 0, 1, 1, 2]
    expected = [5 / 9, 5 / 9, 5 / 9, 0, 5 / 3, 0, 5 / 3]
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


def test_equal_classes_are_plain_fixmatch() -> None:
    _, weights = pseudo_labels(rows((0, 0.96), (0, 0.9), (1, 0.99), (1, 0.94), (2, 0.949), (2, 0.951)))
    torch.testing.assert_close(weights, torch.tensor([1, 0, 1, 0, 0, 1], dtype=torch.float64), rtol=1e-12, atol=0)


def test_where_nothing_is_sure_nothing_is_learnt() -> None:
    _, weights = pseudo_labels(rows((0, 0.5), (1, 0.6), (2, 0.7)))
    assert weights.tolist() == [0, 0, 0]


def test_a_step_equals_a_plain_loop(encoder: Encoder) -> None:
    """FixMatch's Eq. 3 and 4 and its optimiser; BOSS's weights as given."""
    data, others = labelled(12, 1), unlabelled(50, 2)
    tuner = semi_supervised._Tuner(encoder, data, others, SETTINGS)
    outside = torch.get_rng_state()
    torch.manual_seed(SETTINGS.seed)
    net = nn.Sequential(copy.deepcopy(encoder), nn.Linear(encoder.feature_dim, 3)).train()
    torch.set_rng_state(outside)
    with torch.no_grad():  # So sure that some images pass.
        for each in (net, tuner._model):
            each[1].weight.mul_(200)
    generator = torch.Generator().manual_seed(SETTINGS.seed)
    matrices = [each for each in net.parameters() if each.ndim > 1]
    velocity = {each: torch.zeros_like(each) for each in net.parameters()}
    strong_view = Augmentation(size=16, scale=(0.5, 1.0), flip=0.0)
    for done in (0.0, 0.5):
        tuner.step(done)
        mine = torch.randint(12, (64,), generator=generator)
        drawn = torch.randint(50, (448,), generator=generator)
        images = torch.from_numpy(others.images[others.rows[drawn.numpy()]])
        weak = random_crop_flip(torch.from_numpy(data.images[mine.numpy()]), 16, 0, False, generator)
        weak_others = random_crop_flip(images, 16, 0, False, generator)
        strong = strong_view(images, generator)
        logits = net(torch.cat([weak, weak_others, strong]))
        guessed, weights = pseudo_labels(logits[64:512].detach().softmax(dim=1))
        assert weights.any()
        loss = functional.cross_entropy(logits[:64], torch.from_numpy(data.labels)[mine])
        loss = loss + (weights * functional.cross_entropy(logits[512:], guessed, reduction="none")).sum() / 448
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        rate = 0.03 * math.cos(7 * math.pi / 16 * done)
        with torch.no_grad():
            for each, gradient in zip(net.parameters(), gradients, strict=True):
                own = gradient + (5e-4 * each if any(each is matrix for matrix in matrices) else 0)
                velocity[each].mul_(0.9).add_(own)
                each.sub_(rate * (own + 0.9 * velocity[each]))
    for ours, theirs in zip(tuner._model.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_unlabelled_images_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six labels and 300 images of the same kind, against the same steps without a pseudo-label that is believed."""
    torch.manual_seed(0)
    encoder = encoders.build("small_cnn", 1, 16)
    before = copy.deepcopy(encoder.state_dict())
    told: list[tuple[int, int]] = []
    few, others, test = labelled(6, 1), unlabelled(300, 2), labelled(300, 3)
    both = semi_supervised.evaluate(encoder, few, others, test, SETTINGS, lambda *done: told.append(done))
    monkeypatch.setattr(semi_supervised, "THRESHOLD", 2.0)
    alone = semi_supervised.evaluate(encoder, few, others, test, SETTINGS)
    assert both > alone + 0.05
    assert told == [(i, 60) for i in range(1, 61)]
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_same_seed_gives_the_same_accuracy(encoder: Encoder) -> None:
    first, second = (
        semi_supervised.evaluate(encoder, labelled(6, 1), unlabelled(30, 2), labelled(90, 3), SETTINGS)
        for _ in range(2)
    )
    assert first == second


def test_the_average_is_that_of_all_models_so_far(encoder: Encoder) -> None:
    """Decay k / (k + 9) up to 0.999: after three steps by hand."""
    tuner = semi_supervised._Tuner(encoder, labelled(6, 1), unlabelled(30, 2), SETTINGS)
    expected = tuner._model[1].weight.detach().clone()
    for step in range(1, 4):
        tuner.step(0.0)
        decay = step / (step + 9)
        expected = decay * expected + (1 - decay) * tuner._model[1].weight.detach()
    torch.testing.assert_close(tuner._average[1].weight, expected, rtol=1e-5, atol=1e-6)
