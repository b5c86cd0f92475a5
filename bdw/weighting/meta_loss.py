"""Meta-losses: what the target says about the encoder. One class and one line in `_LOSSES` each.

Two are offered because they trade signal for meaning: prototypes use the labels (Snell, Swersky and Zemel,
"Prototypical networks for few-shot learning", NeurIPS 2017), the pretext loss on target images needs none and its
gradient is far less noisy, but it measures likeness of the pretext problem, not of the classes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from bdw.config import MetaConfig
from bdw.data.batches import EpisodeSampler, distinct
from bdw.data.image_table import ImageTable
from bdw.errors import InputError, unknown_option
from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness
from bdw.pretext import Crop, PretextModel, PretextTask, Views

TargetBatch = Any
"""What a meta-loss draws, and takes again."""
Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Stored images (k, c, h, w), uint8 -> augmented crops (k, c, s, s), drawn from the generator."""


class MetaLoss(Protocol):
    """A scalar loss of the model on batches that it draws from the target's training split."""

    images_per_batch: int
    """Target images that one evaluation passes through the encoder."""

    def draw(self, randomness: Randomness) -> TargetBatch:
        """A target batch on the training device, everything random in it drawn."""

    def __call__(self, model: PretextModel, batch: TargetBatch) -> Tensor:
        """The loss, a scalar with graph."""


@dataclass(frozen=True)
class TargetImages:
    """The target's labelled training images, and how they are augmented."""

    images: ImageTable
    labels: Tensor
    """(m,) int64 on the CPU."""
    classes: tuple[str, ...]
    """Names of the labels, for messages."""
    augment: Augment

    def draw(self, count: int, randomness: Randomness, *, half: int | None = None) -> Tensor:
        """So many different images (count, c, h, w), uint8 as stored; of every second image, from the first (`half` 0)
        or the second (1) on, as many as there are."""
        if half is None:
            return self.images[distinct(len(self.images), count, randomness["target"])]
        available = (len(self.images) - half + 1) // 2
        return self.images[2 * distinct(available, min(count, available), randomness["target"]) + half]

    def crop(self, randomness: Randomness) -> Crop:
        """Makes augmented crops of stored images."""
        return lambda images: self.augment(images, randomness["target_augmentation"])


class PrototypeLoss:
    """Prototypical networks on K-way, N-shot, Q-query episodes.

    Shots and queries pass the encoder in one batch; prototypes are the means of the shots' features, logits minus the
    squared Euclidean distances of the queries to them, and the loss is the mean cross-entropy of the K * Q queries.
    """

    def __init__(self, target: TargetImages, task: PretextTask, config: MetaConfig):
        del task
        self._target = target
        self._shots = config.shots
        self._episodes = EpisodeSampler(target.labels, config.ways, config.shots, config.queries, target.classes)
        self.images_per_batch = config.ways * (config.shots + config.queries)

    @staticmethod
    def check(config: MetaConfig, labels: Tensor, classes: tuple[str, ...]) -> None:
        """`InputError` if there are fewer than K classes or a class has fewer than N + Q images."""
        EpisodeSampler(labels, config.ways, config.shots, config.queries, classes)

    def draw(self, randomness: Randomness) -> TargetBatch:
        """Images (K * (N + Q), c, s, s), class by class, the shots of a class before its queries."""
        episode = self._episodes.draw(randomness["target"])
        images = self._target.images[episode.flatten()]
        ways = torch.arange(len(episode), device=images.device)
        return self._target.augment(images, randomness["target_augmentation"]), ways

    def __call__(self, model: PretextModel, batch: TargetBatch) -> Tensor:
        """Mean cross-entropy of the queries."""
        images, ways = batch
        features = model.encoder(images).unflatten(0, (len(ways), -1))
        return prototype_cross_entropy(features[:, : self._shots], features[:, self._shots :])


def prototype_cross_entropy(shots: Tensor, queries: Tensor) -> Tensor:
    """Cross-entropy of queries (K, Q, d) against the means of shots (K, N, d), class i being row i in both."""
    prototypes = shots.mean(dim=1)
    # A common shift changes no distance, but without it large features would lose their digits in the squares below.
    centre = prototypes.mean(dim=0)
    prototypes, flat = prototypes - centre, queries.flatten(0, 1) - centre
    # Minus the squared distance but for the query's own square, which the softmax over the classes cancels.
    logits = 2 * flat @ prototypes.T - prototypes.square().sum(dim=1)
    classes = torch.arange(len(queries), device=queries.device).repeat_interleave(queries.shape[1])
    return functional.cross_entropy(logits, classes)


class PretextLoss:
    """The pretext task's own loss, averaged over a batch of target images drawn without their labels."""

    def __init__(self, target: TargetImages, task: PretextTask, config: MetaConfig):
        self.check(config, target.labels, target.classes)
        self._target = target
        self._task = task
        self.images_per_batch = config.target_batch

    def draw(self, randomness: Randomness) -> TargetBatch:
        """The pretext task's views of `target_batch` images, drawn without replacement."""
        images = self._target.draw(self.images_per_batch, randomness)
        return self._task.views(images, self._target.crop(randomness), randomness["target_views"])

    @staticmethod
    def check(config: MetaConfig, labels: Tensor, classes: tuple[str, ...]) -> None:
        """`InputError` if there are fewer images than a batch wants."""
        if config.target_batch > len(labels):
            raise InputError(
                f"target_batch: {config.target_batch} is more than the target's {len(labels)} training images"
            )

    def __call__(self, model: PretextModel, batch: TargetBatch) -> Tensor:
        """Pretext loss of the batch with all weights 1."""
        views: Views = batch
        count = len(views.images)
        return model.task.loss(model(views), torch.ones(count), count * collectives.size()).total


class WeightedSum:
    """Several meta-losses, each on its own batch."""

    def __init__(self, terms: Sequence[tuple[float, MetaLoss]]):
        self._terms = terms
        self.images_per_batch = sum(loss.images_per_batch for _, loss in terms)

    def draw(self, randomness: Randomness) -> TargetBatch:
        """The terms' batches."""
        return [loss.draw(randomness) for _, loss in self._terms]

    def __call__(self, model: PretextModel, batch: TargetBatch) -> Tensor:
        """The weighted sum of the terms."""
        values = [coefficient * loss(model, part) for (coefficient, loss), part in zip(self._terms, batch, strict=True)]
        return functools.reduce(torch.add, values)


_LOSSES: dict[str, type[PretextLoss | PrototypeLoss]] = {"pretext": PretextLoss, "prototype": PrototypeLoss}


def available() -> tuple[str, ...]:
    """Names that the config field `meta_loss` accepts, alone or in a weighted sum."""
    return tuple(sorted(_LOSSES))


def names(spec: str) -> set[str]:
    """Which losses are summed; `InputError` as `parse`."""
    return {name for _, name in parse(spec)}


def parse(spec: str) -> list[tuple[float, str]]:
    """`prototype+0.5*pretext` -> [(1.0, "prototype"), (0.5, "pretext")]; `InputError` if it cannot be read."""
    terms = []
    for term in spec.split("+"):
        coefficient, _, name = term.strip().rpartition("*")
        try:
            value = float(coefficient) if coefficient else 1.0
        except ValueError:
            raise InputError(f"meta_loss: {coefficient!r} in {spec!r} is not a number; allowed: 0.5*pretext") from None
        if name not in _LOSSES:
            raise unknown_option("meta_loss", name, _LOSSES)
        if not value > 0 or value == float("inf"):
            raise InputError(f"meta_loss: coefficient {value} in {spec!r} cannot work; allowed: positive numbers")
        terms.append((value, name))
    return terms


def check(config: MetaConfig, labels: Tensor, classes: tuple[str, ...]) -> None:
    """`InputError` if the meta-loss cannot draw its batches from target images (m,) with these labels."""
    for _, name in parse(config.meta_loss):
        _LOSSES[name].check(config, labels, classes)


def build(config: MetaConfig, target: TargetImages, task: PretextTask) -> MetaLoss:
    """The meta-loss that the config names; checks that the target's classes allow its batches."""
    terms = [(coefficient, _LOSSES[name](target, task, config)) for coefficient, name in parse(config.meta_loss)]
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1.0 else WeightedSum(terms)
