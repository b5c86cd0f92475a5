"""The step itself: what it hands to the weighter is the derivative of the meta-loss after the update it made."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bdw.diagnostics.variance_components import analysed
from bdw.diagnostics.visit_statistics import VisitStatistics
from bdw.encoders import untouched_statistics
from bdw.weighting.gradient import conv_cache, estimators
from bdw.weighting.gradient.natural_gradient import DAMPING
from bdw.weighting.gradient.smoothing import Smoothing, colours
from bdw.weighting.gradient.target_gradient import TargetGradient
from bdw.weighting.gradient.transforms import Centring, LogLoss, Observer, Transform, Visit
from bdw.weighting.step import train_step
from tests.pretext.models import views_of
from tests.weighting.step_problem import (
    LEARNING_RATE,
    K,
    Pretext,
    Prototypes,
    Recorder,
    batch_of,
    buffers_of,
    learner_of,
    reference_gradient,
    with_fields,
)


@pytest.mark.parametrize("kind", [Prototypes, Pretext])
@pytest.mark.parametrize("norm", [lambda: nn.BatchNorm2d(4), lambda: nn.GroupNorm(2, 4)], ids=["batch", "group"])
@pytest.mark.parametrize("has_zero_weight", [False, True])
@pytest.mark.parametrize("worth_keeping", [conv_cache.WORTH_KEEPING, 0], ids=["nothing_kept", "all_kept"])
def test_the_weighter_learns_from_the_exact_meta_gradient(
    kind: type[Prototypes],
    norm: Callable[[], nn.Module],
    has_zero_weight: bool,
    worth_keeping: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against double backward from a copy of everything as it was before the step.

    With group norm and without a weight of 0 the tangents come from the training pass, otherwise from forward mode.
    """
    monkeypatch.setattr(conv_cache, "WORTH_KEEPING", worth_keeping)
    torch.manual_seed(1)
    meta_loss = kind(torch.randn(12, 1, 6, 6, dtype=torch.float64))
    learner, batch = learner_of(meta_loss, norm=norm), batch_of()
    assert isinstance(learner.weighter, Recorder)
    if has_zero_weight:
        learner.weighter.weights[batch.indices[1]] = 0
    twin = copy.deepcopy(learner.model)
    buffers = buffers_of(learner)
    train_step(learner, batch)
    recorder = learner.weighter
    assert isinstance(recorder, Recorder)
    assert recorder.gradient is not None
    expected = reference_gradient(twin, meta_loss, batch, recorder.weights[batch.indices], buffers)
    assert float((recorder.gradient - expected).norm() / expected.norm()) <= 1e-10


def _told(*transforms: Transform) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """What a step with these transforms tells the weighter, the batch's losses, and the model after it."""
    torch.manual_seed(1)
    learner = with_fields(learner_of(Prototypes(torch.randn(12, 1, 6, 6, dtype=torch.float64))), transforms=transforms)
    measured = train_step(learner, batch_of())
    assert isinstance(learner.weighter, Recorder)
    assert learner.weighter.gradient is not None
    return learner.weighter.gradient, measured.losses, learner.model.state_dict()


def test_relative_and_centred_derivatives_change_what_weights_learn_and_nothing_else() -> None:
    gradient, losses, model = _told()
    relative, _, relative_model = _told(LogLoss())
    centred, _, _ = _told(Centring())
    both, _, both_model = _told(LogLoss(), Centring())
    torch.testing.assert_close(relative, gradient / losses, rtol=1e-12, atol=0)
    torch.testing.assert_close(centred, gradient - gradient.mean(), rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(both, relative - relative.mean(), rtol=1e-10, atol=1e-14)
    for name, value in model.items():
        assert torch.equal(value, relative_model[name])
        assert torch.equal(value, both_model[name])


def test_evidence_is_of_single_visits_before_they_are_shared() -> None:
    torch.manual_seed(1)
    learner, batch = learner_of(Prototypes(torch.randn(12, 1, 6, 6, dtype=torch.float64))), batch_of()
    evidence = VisitStatistics(K)
    learner = with_fields(learner, transforms=[LogLoss(), Centring(), Observer(evidence), Smoothing(math.inf)])
    measured = train_step(learner, batch)
    assert isinstance(learner.weighter, Recorder)
    assert learner.weighter.gradient is not None
    assert measured.derivatives is not None
    relative = measured.derivatives / measured.losses
    own = (relative - relative.mean()).numpy()
    np.testing.assert_allclose(evidence.visits().means[batch.indices], own, rtol=1e-5, atol=1e-9)
    told = learner.weighter.gradient.numpy() * (K / LEARNING_RATE)
    assert np.abs(np.abs(told) - np.abs(own)).max() > 0.01 * np.abs(own).max(), "nothing was shared"


def test_evidence_is_shared_by_features_and_colours_of_the_batch() -> None:
    told: list[list[Tensor]] = []

    class Told(Smoothing):
        def follow(self, descriptions: Sequence[Tensor], derivatives: Tensor) -> Tensor:
            told.append(list(descriptions))
            return super().follow(descriptions, derivatives)

    learner, batch = learner_of(Prototypes(torch.randn(12, 1, 6, 6, dtype=torch.float64))), batch_of()
    expected = learner.model(views_of(learner.model, batch.images)).features
    train_step(with_fields(learner, transforms=[Told(math.inf)]), batch)
    ((features, seen),) = told
    torch.testing.assert_close(features, expected.unflatten(0, (K, 4)).mean(dim=1))
    assert torch.equal(seen, colours(batch.images))


def test_shared_noise_is_not_taken_for_signal() -> None:
    """White noise in the place of derivatives: predictions would agree from visit to visit, single visits do not."""
    generator = torch.Generator().manual_seed(0)
    number, k = 400, 100
    features = torch.randn(number, 16, generator=generator)
    evidence = VisitStatistics(number)
    learner = with_fields(learner_of(Prototypes(torch.zeros(1))), transforms=[Observer(evidence), Smoothing(number)])
    assert learner.alignment is not None
    for _ in range(4):
        for rows in torch.randperm(number, generator=generator).split(k):
            noise = torch.randn(k, generator=generator)
            images = torch.randn(k, 3, 4, 4, generator=generator)
            learner.alignment.transformed(noise, Visit(rows, images, k, torch.ones(k), features[rows]))
    assert not analysed(evidence.deviations()).is_certain


@pytest.mark.parametrize("norm", [lambda: nn.BatchNorm2d(4), lambda: nn.GroupNorm(2, 4)], ids=["batch", "group"])
@pytest.mark.parametrize("has_zero_weight", [False, True])
def test_the_heads_gradients_alone_are_compared(
    norm: Callable[[], nn.Module], has_zero_weight: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against backward passes, one for the target and one for every instance. Nothing but a weight of 0 asks for
    forward mode."""
    torch.manual_seed(1)
    meta_loss = Pretext(torch.randn(12, 1, 6, 6, dtype=torch.float64))
    learner, batch = with_fields(learner_of(meta_loss, norm=norm), wanted="head"), batch_of()
    if has_zero_weight:
        assert isinstance(learner.weighter, Recorder)
        learner.weighter.weights[1] = 0
    else:
        monkeypatch.setattr(estimators, "instance_directional_derivatives", None)
    before = copy.deepcopy(learner.model)
    measured = train_step(learner, batch)
    after = learner.model
    with untouched_statistics(after), untouched_statistics(before):
        direction = torch.autograd.grad(meta_loss(after, (meta_loss.images,)), list(after.task.parameters()))
        losses = before.losses(views_of(before, batch.images))
        for loss, found in zip(losses, measured.derivatives, strict=True):
            gradient = torch.autograd.grad(loss, list(before.task.parameters()), retain_graph=True)
            expected = sum(float((v * g).sum()) for v, g in zip(direction, gradient, strict=True))
            assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("norm", [lambda: nn.BatchNorm2d(4), lambda: nn.GroupNorm(2, 4)], ids=["batch", "group"])
def test_the_heads_gradients_are_compared_in_their_own_metric(norm: Callable[[], nn.Module]) -> None:
    """Against backward passes, one for the target and one for every instance, and an inverse."""
    torch.manual_seed(1)
    meta_loss = Pretext(torch.randn(12, 1, 6, 6, dtype=torch.float64))
    learner = with_fields(learner_of(meta_loss, norm=norm), wanted="natural_head")
    batch, before = batch_of(), copy.deepcopy(learner.model)
    measured = train_step(learner, batch)
    after = learner.model
    with untouched_statistics(after), untouched_statistics(before):
        found = torch.autograd.grad(meta_loss(after, (meta_loss.images,)), list(after.task.parameters()))
        v = torch.cat([part.flatten() for part in found])
        losses = before.losses(views_of(before, batch.images))
        of_each = [torch.autograd.grad(loss, list(before.task.parameters()), retain_graph=True) for loss in losses]
    g = torch.stack([torch.cat([part.flatten() for part in parts]) for parts in of_each])
    fisher = g.T @ g / K
    natural = torch.linalg.inv(fisher + DAMPING * fisher.trace() / len(v) * torch.eye(len(v), dtype=v.dtype)) @ v
    expected = g @ natural / g.norm(dim=1) * v.norm() / natural.norm()
    assert measured.derivatives is not None
    torch.testing.assert_close(measured.derivatives, expected, rtol=1e-8, atol=1e-12)


def test_steps_that_do_not_ask_the_target_compare_with_the_direction_of_the_last_that_did() -> None:
    """The target draws nothing in them; what their instances are compared with is an earlier model's gradient."""
    torch.manual_seed(1)
    meta_loss = Pretext(torch.randn(12, 1, 6, 6, dtype=torch.float64))
    learner = with_fields(learner_of(meta_loss), wanted="head", target_gradient=TargetGradient(every=3))
    directions, asked = [], []
    for _ in range(5):
        batch, before = batch_of(), copy.deepcopy(learner.model)
        measured = train_step(learner, batch)
        asked.append(measured.meta_loss is not None)
        after, parameters = learner.model, list(before.task.parameters())
        with untouched_statistics(after), untouched_statistics(before):
            directions.append(torch.autograd.grad(meta_loss(after, (meta_loss.images,)), list(after.task.parameters())))
            losses = before.losses(views_of(before, batch.images))
        last = directions[max(i for i, did in enumerate(asked) if did)]
        for loss, found in zip(losses, measured.derivatives, strict=True):
            gradient = torch.autograd.grad(loss, parameters, retain_graph=True)
            expected = sum(float((v * g).sum()) for v, g in zip(last, gradient, strict=True))
            assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-13)
    assert asked == [True, False, False, True, False]


def test_target_batches_do_not_move_running_statistics() -> None:
    torch.manual_seed(2)
    batch, target = batch_of(), torch.randn(12, 1, 6, 6, dtype=torch.float64)
    plain = learner_of(None)
    train_step(plain, batch)
    weighted = learner_of(Prototypes(target))
    recorder = weighted.weighter
    assert isinstance(recorder, Recorder)
    recorder.weights = torch.ones(K, dtype=torch.float64)
    train_step(weighted, batch)
    for a, b in zip(plain.model.buffers(), weighted.model.buffers(), strict=True):
        assert torch.equal(a, b)
