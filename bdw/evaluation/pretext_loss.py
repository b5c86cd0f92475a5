"""The pretext task's own loss on labelled target images: the paper's measure for auto-encoders (Table 1)."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import torch
from numpy.typing import NDArray

from bdw.data.augment import centre_crop
from bdw.evaluation.features import Settings, device_of, evaluating, stored_batches
from bdw.parallel import collectives
from bdw.pretext import PretextModel

NOISE_SEED = 0
"""Seed of the task's draws. Every epoch and every model gets the same noise, so that differences are the model's."""


def evaluate(model: PretextModel, images: NDArray[np.uint8], settings: Settings) -> float:
    """Mean over instances (not over batches) of the loss of centre crops, in evaluation mode and without augmentation.

    Its unit is the pretext task's. One worker measures while the others wait, so the task exchanges nothing with them.
    Where instances interact, they do so within batches of equal size, as far as that goes.
    """
    if model.task.instances_interact:
        batches = -(-len(images) // settings.batch_size)
        settings = dataclasses.replace(settings, batch_size=-(-len(images) // batches))
    generator = torch.Generator().manual_seed(NOISE_SEED)
    crop = functools.partial(centre_crop, crop_size=settings.crop_size)
    total = 0.0
    with collectives.alone(), evaluating(model), torch.inference_mode():
        for batch in stored_batches(images, settings, device_of(model)):
            total += float(model.losses(model.task.views(batch, crop, generator)).double().sum())
    return total / len(images)
