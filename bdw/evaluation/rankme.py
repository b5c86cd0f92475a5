"""RankMe: how many directions the features use, without a label (Garrido, Balestriero, Najman and LeCun, "RankMe:
assessing the downstream performance of pretrained self-supervised representations by their rank", ICML 2023, Eq. 1)."""

from __future__ import annotations

import numpy as np

from bdw.data import LabelledImages
from bdw.encoders import Encoder
from bdw.evaluation.features import Features, Settings, extract_features

EPSILON = 1e-7
"""Added to every normalised singular value, as in the paper."""


def effective_rank(features: Features) -> float:
    """exp of the entropy of the normalised singular values of (n, d): between 1 and min(n, d), 0 if all are zero.

    It grows with n until n is several times d; the paper takes 25,600 images.
    """
    values = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    total = values.sum()
    if total == 0:
        return 0.0
    shares = values / total + EPSILON
    return float(np.exp(-(shares * np.log(shares)).sum()))


def evaluate(encoder: Encoder, measured_on: LabelledImages, settings: Settings) -> float:
    """The effective rank of the features of these images."""
    return effective_rank(extract_features(encoder, measured_on.images, settings))
