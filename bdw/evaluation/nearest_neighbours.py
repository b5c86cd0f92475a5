"""Accuracy of a nearest-neighbour classifier on frozen features: nothing is fitted, so it is cheap enough for every
epoch (Wu, Xiong, Yu and Lin, "Unsupervised feature learning via non-parametric instance discrimination", CVPR 2018)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bdw.data import LabelledImages
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.evaluation.features import Features, Settings, extract_features

TEMPERATURE = 0.07
"""Neighbours vote with weight exp(similarity / temperature); the paper's value."""
_BLOCK = 512
"""Images compared with all labelled ones at once."""


def check(neighbours: int, num_labelled: int) -> None:
    """`InputError` if there are fewer labelled images than neighbours."""
    if neighbours > num_labelled:
        raise InputError(f"neighbours: {neighbours} is more than the {num_labelled} labelled images; allowed: fewer")


def predict(labelled: Features, labels: NDArray[np.int64], features: Features, neighbours: int) -> NDArray[np.int64]:
    """The class (n,) of every row of features (n, d) by a vote of the most similar of the labelled ones (m, d).

    Similarity is the cosine, 0 where features are all zero. Exact, in blocks. Ties: of equally similar neighbours the
    first ones vote, and of classes with equal votes the lowest number wins.
    """
    check(neighbours, len(labelled))
    known, answers = _unit(labelled), torch.from_numpy(labels)
    num_classes = int(labels.max()) + 1
    found = []
    for block in _unit(features).split(_BLOCK):
        similarity, order = (block @ known.T).sort(dim=1, descending=True, stable=True)
        # The most similar neighbour weighs 1: no vote overflows, and the order of the sums stays.
        nearest = similarity[:, :neighbours]
        weights = ((nearest - nearest[:, :1]) / TEMPERATURE).exp()
        votes = torch.zeros(len(block), num_classes, dtype=weights.dtype)
        found.append(votes.scatter_add_(1, answers[order[:, :neighbours]], weights).argmax(dim=1))
    return torch.cat(found).numpy()


def evaluate(encoder: Encoder, fitted_on: LabelledImages, measured_on: LabelledImages, settings: Settings) -> float:
    """Share of the images of `measured_on` that the neighbours from `fitted_on` classify right."""
    check(settings.neighbours, len(fitted_on))
    labelled, features = (extract_features(encoder, part.images, settings) for part in (fitted_on, measured_on))
    predicted = predict(labelled, fitted_on.labels, features, settings.neighbours)
    return float(np.mean(predicted == measured_on.labels))


def _unit(features: Features) -> Tensor:
    return functional.normalize(torch.from_numpy(features).double(), dim=1)
