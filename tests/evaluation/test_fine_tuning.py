"""The paper's procedure on a problem that a short tuning solves, and against a plain loop for the first epoch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bdw import encoders
from bdw.data import LabelledImages
from bdw.data.augment import centre_crop
from bdw.encoders import Encoder
from bdw.evaluation import fine_tuning
from bdw.evaluation.features import Settings

SETTINGS = Settings(crop_size=16, fine_tuning_epochs=8, seed=5)


def labelled(count: int, seed: int) -> LabelledImages:
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    images = rng.integers(0, 40, (count, 1, 16, 16))
    for label in range(3):
        images[labels == label, :, 5 * label : 5 * label + 5] += 200
    return LabelledImages(images.astype(np.uint8), labels)


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return encoders.build("mlp", 1, 16)


@pytest.fixture
def few_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_tuning, "CELLS", ((1e-5, 0.0, 50), (1e-3, 0.0, 50), (1e-3, 1e-4, 0)))


def test_the_grid_is_the_papers() -> None:
    assert len(fine_tuning.CELLS) == 8
    assert {rate for rate, _, _ in fine_tuning.CELLS} == {1e-4, 1e-5}
    assert {decay for _, decay, _ in fine_tuning.CELLS} == {1e-4, 0.0}
    assert {patience for _, _, patience in fine_tuning.CELLS} == {50, 5}


@pytest.mark.usefixtures("few_cells")
def test_chooses_on_validation_and_measures_on_test(encoder: Encoder) -> None:
    before = copy.deepcopy(encoder.state_dict())
    told: list[tuple[int, int]] = []
    accuracy, choice = fine_tuning.evaluate(
        encoder, labelled(150, 1), labelled(30, 2), labelled(45, 3), SETTINGS, lambda *done: told.append(done)
    )
    assert choice.learning_rate == 1e-3
    assert choice.validation_accuracy == 1.0
    assert accuracy == 1.0
    assert len(choice.schedule) == choice.epochs
    assert told == [(i, 24) for i in range(1, 25)]
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.usefixtures("few_cells")
def test_the_same_seed_gives_the_same_choice(encoder: Encoder) -> None:
    first, second = (fine_tuning.choose(encoder, labelled(40, 1), labelled(30, 2), SETTINGS) for _ in range(2))
    assert first == second


def test_an_epoch_equals_a_plain_loop(encoder: Encoder) -> None:
    data = labelled(130, 1)
    tuner = fine_tuning._Tuner(encoder, data, SETTINGS, 1e-3, 1e-4)
    tuner.train_epoch()
    loss, accuracy = tuner.measure(data)

    outside = torch.get_rng_state()
    torch.manual_seed(SETTINGS.seed)
    net = nn.Sequential(copy.deepcopy(encoder), nn.Linear(encoder.feature_dim, 3)).train()
    torch.set_rng_state(outside)
    adam = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4)
    order = torch.randperm(130, generator=torch.Generator().manual_seed(SETTINGS.seed))
    images, labels = centre_crop(torch.from_numpy(data.images), 16), torch.from_numpy(data.labels)
    for rows in (order[:44], order[44:87], order[87:]):
        adam.zero_grad()
        functional.cross_entropy(net(images[rows]), labels[rows]).backward()
        adam.step()
    logits = net.eval()(images).detach().double()
    assert loss == pytest.approx(float(functional.cross_entropy(logits, labels)), rel=1e-6)
    assert accuracy == float((logits.argmax(dim=1) == labels).double().mean())
