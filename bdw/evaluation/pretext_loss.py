"""The pretext task's own loss on labelled target images: the paper's measure for auto-encoders (Table 1)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from bdw.data.augment import centre_crop
from bdw.evaluation.linear_probe import Settings
from bdw.pretext import PretextModel

NOISE_SEED = 0
"""Of what the task draws: the same noise in every epoch and for every model, so that differences are the model's."""


def evaluate(model: PretextModel, images: NDArray[np.uint8], settings: Settings) -> float:
    """Mean over instances (not over batches) of the loss of centre crops, in evaluation mode and without augmentation.

    Its unit is the pretext task's.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(NOISE_SEED)
    was_training = model.training
    model.eval()
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(images), settings.batch_size):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + settings.batch_size])).to(device)
            views = model.task.views(centre_crop(batch, settings.crop_size), generator)
            total += float(model(views).losses.double().sum())
    model.train(was_training)
    return total / len(images)
