"""Fine-tuning as in the paper's appendix: the whole encoder and a linear classifier, settings chosen on validation.

Adam with batches of 64 over a grid of learning rate x weight decay x patience (in epochs, on the validation loss). The
best cell is then trained once more from the pre-trained encoder, on train and validation together, for its best number
of epochs and with the learning rates that it had in them. That encoder is measured on the test split.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from bdw.data import LabelledImages
from bdw.data.augment import centre_crop
from bdw.data.batches import epoch_order, global_batches
from bdw.encoders import Encoder
from bdw.evaluation.features import Settings, centre_crops, device_of, evaluating
from bdw.parallel.randomness import drawn_from

BATCH_SIZE = 64
LEARNING_RATES = (1e-4, 1e-5)
WEIGHT_DECAYS = (1e-4, 0.0)
PATIENCES = (50, 5)
CELLS = tuple(itertools.product(LEARNING_RATES, WEIGHT_DECAYS, PATIENCES))

Progress = Callable[[int, int], None]
"""Called with the epochs done and the most that there can be."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The best cell of the grid."""

    learning_rate: float
    weight_decay: float
    patience: int
    epochs: int
    """Number of epochs after which the validation accuracy was highest; the first of equals."""
    schedule: tuple[float, ...]
    """The learning rate of each of these epochs."""
    validation_accuracy: float


def choose(
    encoder: Encoder,
    train: LabelledImages,
    validation: LabelledImages,
    settings: Settings,
    progress: Progress | None = None,
) -> Choice:
    """The cell and epoch of the highest validation accuracy; among equals the first. The encoder stays as it is."""
    best: Choice | None = None
    total = len(CELLS) * settings.fine_tuning_epochs
    for number, (learning_rate, weight_decay, patience) in enumerate(CELLS):
        tuner = _Tuner(encoder, train, settings, learning_rate, weight_decay)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(tuner.optimiser, patience=patience)
        schedule: list[float] = []
        for epoch in range(1, settings.fine_tuning_epochs + 1):
            schedule.append(tuner.optimiser.param_groups[0]["lr"])
            tuner.train_epoch()
            loss, accuracy = tuner.measure(validation)
            plateau.step(loss)
            if best is None or accuracy > best.validation_accuracy:
                best = Choice(
                    learning_rate=learning_rate,
                    weight_decay=weight_decay,
                    patience=patience,
                    epochs=epoch,
                    schedule=tuple(schedule),
                    validation_accuracy=accuracy,
                )
            if progress is not None:
                progress(number * settings.fine_tuning_epochs + epoch, total)
    assert best is not None
    return best


def evaluate(
    encoder: Encoder,
    train: LabelledImages,
    validation: LabelledImages,
    test: LabelledImages,
    settings: Settings,
    progress: Progress | None = None,
) -> tuple[float, Choice]:
    """Accuracy over the test images after re-tuning on train and validation, and what was chosen for it."""
    choice = choose(encoder, train, validation, settings, progress)
    tuner = _Tuner(encoder, train.joined(validation), settings, choice.learning_rate, choice.weight_decay)
    for learning_rate in choice.schedule:
        tuner.optimiser.param_groups[0]["lr"] = learning_rate
        tuner.train_epoch()
    return tuner.measure(test)[1], choice


class _Tuner:
    """A copy of the encoder with a fresh classifier, always drawn alike, and its optimiser."""

    def __init__(
        self,
        encoder: Encoder,
        images: LabelledImages,
        settings: Settings,
        learning_rate: float,
        weight_decay: float,
    ):
        self._images, self._settings, self._device = images, settings, device_of(encoder)
        self._order = torch.Generator().manual_seed(settings.seed)
        with drawn_from(torch.Generator().manual_seed(settings.seed)):
            classifier = nn.Linear(encoder.feature_dim, int(images.labels.max()) + 1)
        tuned = copy.deepcopy(encoder)
        tuned.autocast = None  # A measure is taken in float32, however the encoder was trained.
        self._model = nn.Sequential(tuned, classifier.to(self._device)).train()
        self._model.requires_grad_(True)
        self.optimiser = torch.optim.Adam(self._model.parameters(), lr=learning_rate, weight_decay=weight_decay)

    def train_epoch(self) -> None:
        """Every image once, in batches that differ in size by at most one."""
        order = epoch_order(torch.arange(len(self._images)), self._order)
        for rows in global_batches(order, BATCH_SIZE):
            images = torch.from_numpy(self._images.images[rows.numpy()]).to(self._device)
            labels = torch.from_numpy(self._images.labels[rows.numpy()]).to(self._device)
            self.optimiser.zero_grad()
            functional.cross_entropy(self._model(centre_crop(images, self._settings.crop_size)), labels).backward()
            self.optimiser.step()

    def measure(self, images: LabelledImages) -> tuple[float, float]:
        """Mean cross-entropy and accuracy over instances."""
        with evaluating(self._model), torch.inference_mode():
            crops = centre_crops(images.images, self._settings, self._device)
            logits = torch.cat([self._model(batch).double().cpu() for batch in crops])
        labels = torch.from_numpy(images.labels)
        return float(functional.cross_entropy(logits, labels)), float((logits.argmax(dim=1) == labels).double().mean())
