"""Two properties of embeddings on the unit sphere, without a label (Wang and Isola, "Understanding contrastive
representation learning through alignment and uniformity on the hypersphere", ICML 2020).

alignment   E |f(x) - f(x')|^2, x and x' being crops of one image; 0 where both always agree, at most 4
uniformity  log E exp(-2 |f(x) - f(y)|^2), x and y being two images; 0 where all agree, -4 or so spread over the sphere

Both are losses: lower is better, and neither alone, since an encoder that says the same of everything is aligned.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bdw.data import LabelledImages
from bdw.encoders import Encoder
from bdw.evaluation.features import Settings, device_of, evaluating, extract_features, stored_batches
from bdw.pretext.views.crops import random_boxes, resized_crops

MOST_IMAGES = 4096
"""Of a split, evenly spaced; uniformity takes time and memory by their square."""
CROP_AREA, CROP_RATIO = (0.2, 1.0), (3 / 4, 4 / 3)
"""Share of the image and width / height of a crop; the paper's crops are those of MoCo and SimCLR."""
SHARPNESS = 2.0
"""t of the paper's Eq. 5."""


def alignment(features: Tensor, others: Tensor) -> float:
    """Mean squared distance of rows (n, d) that belong together, each scaled to length 1 (Eq. 4 with alpha = 2)."""
    gaps = functional.normalize(features.double(), dim=1) - functional.normalize(others.double(), dim=1)
    return float(gaps.square().sum(dim=1).mean())


def uniformity(features: Tensor) -> float:
    """Logarithm of the mean Gaussian potential of all pairs of rows (n, d), each scaled to length 1 (Eq. 5).

    NaN for fewer than two rows.
    """
    if len(features) < 2:
        return math.nan
    squares = torch.pdist(functional.normalize(features.double(), dim=1)).square()
    return float(squares.mul(-SHARPNESS).exp().mean().log())


def evaluate_alignment(encoder: Encoder, measured_on: LabelledImages, settings: Settings) -> float:
    """Of two random crops of every image, drawn by the settings' seed, in evaluation mode. A named layer is ignored:
    what is aligned is the encoder's output."""
    generator = torch.Generator().manual_seed(settings.seed)
    pairs: list[Tensor] = []
    with evaluating(encoder), torch.inference_mode():
        for batch in stored_batches(_some(measured_on.images), settings, device_of(encoder)):
            height, width = batch.shape[2:]
            boxes = random_boxes((len(batch), 2), height, width, CROP_AREA, CROP_RATIO, generator)
            crops = resized_crops(batch, boxes, settings.crop_size).mul_(2).sub_(1)
            pairs.append(encoder(crops).float().cpu().unflatten(0, (-1, 2)))
    found = torch.cat(pairs)
    return alignment(found[:, 0], found[:, 1])


def evaluate_uniformity(encoder: Encoder, measured_on: LabelledImages, settings: Settings) -> float:
    """Of the features of these images' centre crops."""
    return uniformity(torch.from_numpy(extract_features(encoder, _some(measured_on.images), settings)))


def _some(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images[:: -(-len(images) // MOST_IMAGES)] if len(images) else images
