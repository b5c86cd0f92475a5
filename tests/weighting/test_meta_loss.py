"""Meta-losses: prototypes against an independent slow version, the pretext loss, weighted sums, and bad designs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bdw import encoders
from bdw.config import MetaConfig
from bdw.data.image_table import ImageTable
from bdw.errors import InputError
from bdw.parallel.randomness import Randomness
from bdw.pretext import PretextModel
from bdw.weighting import meta_loss
from bdw.weighting.meta_loss import MetaLoss, TargetImages, prototype_cross_entropy
from tests.pretext.models import model_of

CLASSES, PER_CLASS = 4, 6


def _plain(images: Tensor, generator: torch.Generator) -> Tensor:
    return images.float() / 127.5 - 1


@pytest.fixture
def target() -> TargetImages:
    images = np.random.default_rng(0).integers(0, 256, (CLASSES * PER_CLASS, 1, 8, 8), dtype=np.uint8)
    labels = torch.arange(CLASSES).repeat(PER_CLASS)
    return TargetImages(ImageTable(images, torch.device("cpu")), labels, ("ant", "bee", "cat", "dog"), _plain)


@pytest.fixture
def model() -> PretextModel:
    torch.manual_seed(0)
    return model_of(encoders.build("small_resnet", 1, 16))


def _build(target: TargetImages, **settings: object) -> MetaLoss:
    design: dict[str, object] = {"ways": 3, "shots": 2, "queries": 3, "target_batch": 5}
    config = MetaConfig(**(design | settings))  # type: ignore[arg-type]
    return meta_loss.build(config, target, model_of(encoders.build("mlp", 1, 16)).task)


def test_prototype_cross_entropy_equals_distances_written_out() -> None:
    torch.manual_seed(0)
    shots, queries = torch.randn(3, 2, 5).double(), torch.randn(3, 4, 5).double()
    losses = []
    for own in range(3):
        for q in range(4):
            distances = [(queries[own, q] - shots[c].mean(0)).pow(2).sum() for c in range(3)]
            losses.append(functional.cross_entropy(-torch.stack(distances)[None], torch.tensor([own])))
    torch.testing.assert_close(prototype_cross_entropy(shots, queries), torch.stack(losses).mean(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("count", [1, 7, CLASSES * PER_CLASS])
def test_target_images_are_drawn_without_their_labels_and_none_twice(target: TargetImages, count: int) -> None:
    everything = target.images[torch.arange(CLASSES * PER_CLASS)]
    randomness = Randomness(0)
    draws = [target.draw(count, randomness) for _ in range(40)]
    chosen = [(images[:, None] == everything).flatten(2).all(dim=2).nonzero() for images in draws]
    assert all(rows[:, 0].tolist() == list(range(count)) for rows in chosen), "stored images of the target"
    assert all(len(rows[:, 1].unique()) == count for rows in chosen)
    assert torch.cat([rows[:, 1] for rows in chosen]).bincount().count_nonzero() > 15, "any of them"
    again = Randomness(0)
    assert all(torch.equal(images, target.draw(count, again)) for images in draws)


def test_an_episode_holds_shots_and_queries_of_different_images(target: TargetImages, model: PretextModel) -> None:
    loss = _build(target)
    assert loss.images_per_batch == 15
    images, ways = loss.draw(Randomness(0))
    assert images.shape == (15, 1, 8, 8)
    assert len(ways) == 3
    everything = _plain(target.images[torch.arange(CLASSES * PER_CLASS)], torch.Generator())
    found = [int((everything == image).flatten(1).all(1).nonzero()) for image in images]
    assert len(set(found)) == 15
    labels = target.labels[found].view(3, 5)
    assert bool((labels == labels[:, :1]).all())
    assert len(set(labels[:, 0].tolist())) == 3
    assert loss(model, (images, ways)).shape == ()


def test_the_prototype_loss_does_not_touch_the_head(target: TargetImages, model: PretextModel) -> None:
    loss = _build(target)
    loss(model, loss.draw(Randomness(0))).backward()
    assert all(parameter.grad is None for parameter in model.task.parameters())
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())


def test_the_pretext_loss_is_the_tasks_mean_loss(target: TargetImages, model: PretextModel) -> None:
    loss = _build(target, meta_loss="pretext")
    batch = loss.draw(Randomness(0))
    assert loss.images_per_batch == 5
    torch.testing.assert_close(loss(model.eval(), batch), model.losses(batch).mean())


def test_a_weighted_sum_is_the_sum_of_its_terms(target: TargetImages, model: PretextModel) -> None:
    model.eval()
    both = _build(target, meta_loss="prototype + 0.5*pretext")
    assert both.images_per_batch == 20
    terms = [_build(target, meta_loss=name) for name in ("prototype", "pretext")]
    # The same streams, used in the same order, give the terms the same batches.
    shared = Randomness(0)
    parts = [term(model, term.draw(shared)) for term in terms]
    torch.testing.assert_close(both(model, both.draw(Randomness(0))), parts[0] + 0.5 * parts[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"meta_loss": "prototypes"}, r"meta_loss: 'prototypes' is not known \(did you mean 'prototype'\?\)"),
        ({"meta_loss": "x*prototype"}, "'x' in 'x\\*prototype' is not a number"),
        ({"meta_loss": "-1*pretext"}, "coefficient -1.0 .* positive"),
        ({"meta_loss": "pretext", "target_batch": 25}, "target_batch: 25 is more than the target's 24"),
        ({"ways": 5}, r"ways \(K\): 5 classes needed but the target has 4"),
        ({"shots": 4, "queries": 3}, r"4 \+ 3 = 7 training images of every class needed but class 'ant' has 6"),
    ],
)
def test_designs_that_do_not_fit_are_refused(target: TargetImages, settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _build(target, **settings)


@pytest.mark.parametrize(("half", "expected"), [(0, {0, 2, 4, 6, 8}), (1, {1, 3, 5, 7})])
def test_halves_of_a_target_are_drawn_apart(half: int, expected: set[int]) -> None:
    images = np.arange(9, dtype=np.uint8).reshape(9, 1, 1, 1)
    target = TargetImages(
        ImageTable(images, torch.device("cpu")), torch.zeros(9, dtype=torch.int64), ("a",), lambda pixels, _: pixels
    )
    drawn = target.draw(100, Randomness(0), half=half)
    assert sorted(drawn.flatten().tolist()) == sorted(expected)
