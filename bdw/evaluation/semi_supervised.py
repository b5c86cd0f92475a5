"""Fine-tuning on the target's labels with the kept images of the source as unlabelled data: FixMatch, classes balanced.

FixMatch (Sohn et al., "FixMatch: simplifying semi-supervised learning with consistency and confidence", NeurIPS 2020):
where the model is sure of a weakly augmented image, its answer is the label of a strongly augmented view of it (Eq. 3
and 4). Classes are balanced as in BOSS (Smith and Conovaloff, "Building one-shot semi-supervised (BOSS) learning up to
fully supervised performance", Frontiers in AI 2022): rare classes get a lower threshold, and every class the same
weight in the loss; both together are the method 4 of the authors' code. The base learner is the run's own encoder, as
in FROST (Liu and Smith, "FROST: faster and more robust one-shot semi-supervised training", 2020).

Optimiser, schedule and sizes are FixMatch's. Views differ: the weak one is the run's own crop and flip, the strong one
a resized crop with changed colours and blur, as contrastive tasks have it, in the place of RandAugment and Cutout.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bdw.data import LabelledImages
from bdw.data.augment import random_crop_flip
from bdw.encoders import Encoder
from bdw.evaluation.features import Settings, centre_crops, device_of, evaluating
from bdw.parallel.randomness import drawn_from
from bdw.pretext.views.augmentation import Augmentation

THRESHOLD = 0.95
"""tau: an image whose most probable class has less than this probability is left out."""
REDUCTION = 0.2
"""Delta of BOSS: by how much the threshold of a class without any pseudo-label is lower."""
BATCH_SIZE = 64
"""Labelled images of a step, drawn with replacement."""
UNLABELLED = 7
"""mu: unlabelled images of a step for each labelled one."""
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.03, 0.9, 5e-4
"""Of SGD with Nesterov's momentum; biases and norms do not decay."""
AVERAGE = 0.999
"""Decay of the moving average of the model that is measured."""
LEAST_AREA = 0.5
"""Smallest share of the image in a strong view: much less, and it no longer shows what its label says."""

Progress = Callable[[int, int], None]
"""Called with the steps done and their number."""


@dataclass(frozen=True, eq=False)
class UnlabelledImages:
    """The kept images, read when they are drawn."""

    images: NDArray[np.uint8]
    """uint8 (n, c, h, w) of the whole source, a memory map as a rule."""
    rows: NDArray[np.int64]
    """(m,) of the kept ones."""

    def __len__(self) -> int:
        return len(self.rows)


def pseudo_labels(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Labels (m,) of images with these class probabilities (m, C), and their weights (m,) in the loss.

    C_n being how many images have class n as their most probable one, the threshold of that class is tau - Delta (1 -
    C_n / max C). Images that reach it share the weight of all of them equally by class; others have weight 0.
    """
    confidence, labels = probabilities.max(dim=1)
    counts = labels.bincount(minlength=probabilities.shape[1]).to(probabilities.dtype)
    thresholds = THRESHOLD - REDUCTION * (1 - counts / counts.max())
    passes = confidence >= thresholds[labels]
    passed = labels[passes].bincount(minlength=probabilities.shape[1])
    weights = torch.where(passes, 1 / passed.clamp(min=1)[labels].to(probabilities.dtype), 0)
    total = weights.sum()
    return labels, weights * passes.sum() / total if total > 0 else weights


def evaluate(
    encoder: Encoder,
    labelled: LabelledImages,
    unlabelled: UnlabelledImages,
    measured_on: LabelledImages,
    settings: Settings,
    progress: Progress | None = None,
) -> float:
    """Accuracy over `measured_on` after so many steps as the settings say. The encoder stays as it is."""
    tuner = _Tuner(encoder, labelled, unlabelled, settings)
    for step in range(settings.semi_supervised_steps):
        tuner.step(step / settings.semi_supervised_steps)
        if progress is not None:
            progress(step + 1, settings.semi_supervised_steps)
    return tuner.accuracy(measured_on)


class _Tuner:
    """A copy of the encoder with a fresh classifier, its moving average and its optimiser, always drawn alike."""

    def __init__(self, encoder: Encoder, labelled: LabelledImages, unlabelled: UnlabelledImages, settings: Settings):
        self._labelled, self._unlabelled, self._settings = labelled, unlabelled, settings
        self._device = device_of(encoder)
        self._generator = torch.Generator().manual_seed(settings.seed)
        with drawn_from(torch.Generator().manual_seed(settings.seed)):
            classifier = nn.Linear(encoder.feature_dim, int(labelled.labels.max()) + 1)
        tuned = copy.deepcopy(encoder)
        tuned.autocast = None  # A measure is taken in float32, however the encoder was trained.
        self._model = nn.Sequential(tuned, classifier.to(self._device)).train().requires_grad_(True)
        self._average = copy.deepcopy(self._model).requires_grad_(False)
        self._steps = 0
        parameters = list(self._model.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [each for each in parameters if each.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [each for each in parameters if each.ndim <= 1]},
        ]
        self._optimiser = torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
        self._strong = Augmentation(
            size=settings.crop_size, scale=(LEAST_AREA, 1.0), flip=0.5 if settings.flip else 0.0
        )

    def step(self, done: float) -> None:
        """One step, after that share of all steps: lr = eta cos(7 pi k / 16 K)."""
        for group in self._optimiser.param_groups:
            group["lr"] = LEARNING_RATE * math.cos(7 / 16 * math.pi * done)
        rows = torch.randint(len(self._labelled), (BATCH_SIZE,), generator=self._generator).numpy()
        images, labels = self._labelled.images[rows], torch.from_numpy(self._labelled.labels[rows]).to(self._device)
        own = torch.randint(len(self._unlabelled), (UNLABELLED * BATCH_SIZE,), generator=self._generator).numpy()
        others = self._on_device(self._unlabelled.images[self._unlabelled.rows[own]])
        shown = [self._weak(self._on_device(images)), self._weak(others), self._strong(others, self._generator)]
        # In one pass, so that batch norm sees labelled and unlabelled images alike.
        of_labelled, weak, strong = self._model(torch.cat(shown)).split([len(part) for part in shown])
        guessed, weights = pseudo_labels(weak.detach().softmax(dim=1))
        supervised = functional.cross_entropy(of_labelled, labels)
        consistency = (weights * functional.cross_entropy(strong, guessed, reduction="none")).mean()
        self._optimiser.zero_grad()
        (supervised + consistency).backward()
        self._optimiser.step()
        self._follow()

    def accuracy(self, images: LabelledImages) -> float:
        """Of the moving average."""
        with evaluating(self._average), torch.inference_mode():
            crops = centre_crops(images.images, self._settings, self._device)
            found = torch.cat([self._average(batch).argmax(dim=1).cpu() for batch in crops])
        return float((found == torch.from_numpy(images.labels)).double().mean())

    def _follow(self) -> None:
        """Move the average; at the start faster, so that it soon forgets what the model began with."""
        self._steps += 1
        decay = min(AVERAGE, self._steps / (self._steps + 9))
        with torch.no_grad():
            for mine, its in zip(self._average.parameters(), self._model.parameters(), strict=True):
                mine.lerp_(its, 1 - decay)
            for kept, now in zip(self._average.buffers(), self._model.buffers(), strict=True):
                kept.copy_(now)

    def _on_device(self, images: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(images)).to(self._device)

    def _weak(self, images: Tensor) -> Tensor:
        settings = self._settings
        return random_crop_flip(images, settings.crop_size, settings.crop_padding, settings.flip, self._generator)
