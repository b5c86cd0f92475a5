"""The pretext task's own loss on labelled target images: the paper's measure for auto-encoders (Table 1)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from bdw.evaluation.features import Settings, centre_crops, device_of, evaluating
from bdw.pretext import PretextModel

NOISE_SEED = 0
"""Seed of the task's draws. Every epoch and every model gets the same noise, so that differences are the model's."""


def evaluate(model: PretextModel, images: NDArray[np.uint8], settings: Settings) -> float:
    """Mean over instances (not over batches) of the loss of centre crops, in evaluation mode and without augmentation.

    Its unit is the pretext task's.
    """
    generator = torch.Generator().manual_seed(NOISE_SEED)
    total = 0.0
    with evaluating(model), torch.inference_mode():
        for batch in centre_crops(images, settings, device_of(model)):
            total += float(model(model.task.views(batch, generator)).losses.double().sum())
    return total / len(images)
