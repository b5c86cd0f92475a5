"""Steps with AdamW, clipped gradients and batches in parts, against double backward through the same update."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bdw.encoders import untouched_statistics
from bdw.pretext import PretextModel
from bdw.weighting.gradient.update_derivative import Clipping, before_optimiser
from bdw.weighting.step import Learner, SourceBatch, train_step, weighted_update
from tests.pretext.models import views_of
from tests.weighting.step_problem import LEARNING_RATE, K, Pretext, Recorder, batch_of, learner_of, with_fields

BETA1, BETA2, EPS, DECAY = 0.9, 0.99, 1e-8, 1e-2
Update = Callable[[str, Tensor, Tensor], Tensor]
"""(name, theta, gradient) -> theta'."""


def _target() -> Pretext:
    torch.manual_seed(3)
    return Pretext(torch.randn(12, 1, 6, 6, dtype=torch.float64))


def _learner(optimiser: str = "sgd", steps: int = 3, **fields: Any) -> Learner:
    learner = learner_of(_target(), norm=lambda: nn.GroupNorm(2, 4))  # type: ignore[arg-type]
    if optimiser == "adamw":
        parameters = learner.model.parameters()
        own = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(BETA1, BETA2), eps=EPS, weight_decay=DECAY)
        learner = dataclasses.replace(learner, optimiser=own)
    learner = dataclasses.replace(learner, **fields)
    for _ in range(steps):
        batch = batch_of()
        weighted_update(learner, views_of(learner.model, batch.images), torch.ones(K, dtype=torch.float64), K)
    return learner


def _exact(model: PretextModel, batch: SourceBatch, weights: Tensor, update: Update, max_norm: float | None) -> Tensor:
    """dL_meta/dw by double backward through the clipped update of that model."""
    weights = weights.clone().requires_grad_()
    target, views = _target(), views_of(model, batch.images)
    theta = {name: value.detach().requires_grad_() for name, value in model.named_parameters()}
    with untouched_statistics(model):
        losses = model.task.losses(functional_call(model, theta, (views,)))
        total = (weights * losses).sum() / K
        gradients = dict(zip(theta, torch.autograd.grad(total, list(theta.values()), create_graph=True), strict=True))
        if max_norm is not None:
            norm = torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt()
            assert float(norm.detach()) > max_norm, "nothing is clipped otherwise"
            gradients = {name: g * max_norm / norm for name, g in gradients.items()}
        after = {name: update(name, theta[name], g) for name, g in gradients.items()}
        found = functional_call(model, after, (views_of(model, target.images),))
        return torch.autograd.grad(model.task.losses(found).mean(), weights)[0]


def _told(learner: Learner, batch: SourceBatch) -> Tensor:
    train_step(learner, batch)
    assert isinstance(learner.weighter, Recorder)
    assert learner.weighter.gradient is not None
    return learner.weighter.gradient


def _adamw(before: Learner, *, constant: bool) -> Update:
    names = dict(before.model.named_parameters())

    def update(name: str, theta: Tensor, gradient: Tensor) -> Tensor:
        state = before.optimiser.state[names[name]]
        step = float(state["step"]) + 1
        first = BETA1 * state["exp_avg"] + (1 - BETA1) * gradient
        seen = gradient.detach() if constant else gradient
        second = BETA2 * state["exp_avg_sq"] + (1 - BETA2) * seen.square()
        ratio = first / (1 - BETA1**step) / ((second / (1 - BETA2**step)).sqrt() + EPS)
        return theta * (1 - LEARNING_RATE * DECAY) - LEARNING_RATE * ratio

    return update


def _close(found: Tensor, expected: Tensor) -> None:
    assert float((found - expected).norm() / expected.norm()) <= 1e-10


@pytest.mark.parametrize("max_norm", [None, 0.01])
def test_with_adamw_weights_learn_from_the_gradient_whose_preconditioner_is_constant(max_norm: float | None) -> None:
    learner = _learner("adamw", clipping=None if max_norm is None else Clipping(max_norm))
    batch, before = batch_of(), copy.deepcopy(learner)
    weights = learner.weighter.weights[batch.indices]  # type: ignore[attr-defined]
    found = _told(learner, batch)
    update = _adamw(before, constant=True)
    _close(found, _exact(before.model, batch, weights, update, max_norm))
    theta = {name: value.detach() for name, value in before.model.named_parameters()}
    grads = {name: value.grad for name, value in _with_gradients(before, batch, weights, max_norm).named_parameters()}
    for name, value in learner.model.named_parameters():
        torch.testing.assert_close(value.detach(), update(name, theta[name], grads[name]), rtol=1e-9, atol=1e-12)


def _with_gradients(learner: Learner, batch: SourceBatch, weights: Tensor, max_norm: float | None) -> PretextModel:
    learner.model.zero_grad()
    losses = learner.model.losses(views_of(learner.model, batch.images))
    ((weights * losses).sum() / K).backward()
    norm = nn.utils.get_total_norm([value.grad for value in learner.model.parameters() if value.grad is not None])
    for value in learner.model.parameters():
        assert value.grad is not None
        value.grad *= 1 if max_norm is None else max_norm / norm
    return learner.model


def test_the_constant_preconditioner_is_an_approximation_that_gets_better() -> None:
    """Cosine with double backward through AdamW itself; the first steps hardly depend on the gradient's size."""
    cosines = []
    for steps in (3, 200):
        learner = _learner("adamw", steps)
        batch, before = batch_of(), copy.deepcopy(learner)
        weights = learner.weighter.weights[batch.indices]  # type: ignore[attr-defined]
        exact = _exact(before.model, batch, weights, _adamw(before, constant=False), None)
        cosines.append(float(torch.cosine_similarity(_told(learner, batch), exact, dim=0)))
    assert cosines[0] < cosines[1]
    assert cosines[1] > 0.98, cosines


def test_a_clipped_gradient_of_sgd_is_differentiated_exactly() -> None:
    learner = _learner(clipping=Clipping(0.01))
    batch, before = batch_of(), copy.deepcopy(learner)
    buffers = {n: before.optimiser.state[p]["momentum_buffer"] for n, p in before.model.named_parameters()}

    def update(name: str, theta: Tensor, gradient: Tensor) -> Tensor:
        return theta - LEARNING_RATE * (0.9 * buffers[name] + gradient + 1e-2 * theta)

    weights = learner.weighter.weights[batch.indices]  # type: ignore[attr-defined]
    exact = _exact(before.model, batch, weights, update, 0.01)
    unclipped = _exact(before.model, batch, weights, update, None)
    _close(_told(learner, batch), exact)
    cosine = torch.cosine_similarity(exact, unclipped, dim=0)
    assert float(cosine) < 0.999, "clipping turns the gradient"


def test_a_gradient_that_is_short_enough_is_left_alone() -> None:
    plain, clipped = _learner(), _learner(clipping=Clipping(1e6))
    torch.manual_seed(5)
    batch = batch_of()
    assert torch.equal(_told(plain, batch), _told(clipped, batch))
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), clipped.model.parameters(), strict=True))


def test_clipping_is_torchs() -> None:
    parameters = {str(n): nn.Parameter(torch.randn(3, n)) for n in (1, 4)}
    for value in parameters.values():
        value.grad = torch.randn_like(value)
    twins = [nn.Parameter(value.detach().clone()) for value in parameters.values()]
    for twin, value in zip(twins, parameters.values(), strict=True):
        assert value.grad is not None
        twin.grad = value.grad.clone()
    Clipping(0.5).clip(parameters)
    nn.utils.clip_grad_norm_(twins, 0.5)
    for twin, value in zip(twins, parameters.values(), strict=True):
        torch.testing.assert_close(value.grad, twin.grad, rtol=1e-5, atol=1e-7)


def test_plain_sgd_changes_no_direction() -> None:
    learner = _learner()
    direction = {name: torch.randn_like(value) for name, value in learner.parameters.items()}
    assert before_optimiser(direction, learner.parameters, learner.optimiser) is direction


def test_before_the_first_step_of_adamw_all_parameters_count_alike() -> None:
    """Where weights learn before the update, the look-ahead has a gradient of 0."""
    learner = _learner("adamw", steps=0)
    direction = {name: torch.randn_like(value) for name, value in learner.parameters.items()}
    found = before_optimiser(direction, learner.parameters, learner.optimiser, made_step=False)
    for name, value in direction.items():
        torch.testing.assert_close(found[name], value / EPS)
    stepped = _learner("adamw", steps=2)
    found = before_optimiser(direction, stepped.parameters, stepped.optimiser, made_step=False)
    for name, value in stepped.parameters.items():
        second = BETA2 * stepped.optimiser.state[value]["exp_avg_sq"] / (1 - BETA2**3)
        expected = direction[name] * (1 - BETA1) / (1 - BETA1**3) / (second.sqrt() + EPS)
        torch.testing.assert_close(found[name], expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("wanted", ["cheapest", "head"])
@pytest.mark.parametrize("parts", [2, 3, 5])
def test_a_batch_in_parts_makes_the_step_of_the_whole_batch(parts: int, wanted: str) -> None:
    whole, split = _learner(), _learner(accumulate=parts)
    whole, split = with_fields(whole, wanted=wanted), with_fields(split, wanted=wanted, parts=parts)
    torch.manual_seed(5)
    batch = batch_of()
    seen, again = train_step(whole, batch), train_step(split, batch)
    torch.testing.assert_close(again.losses, seen.losses, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(again.derivatives, seen.derivatives, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(again.hits, seen.hits)
    for a, b in zip(split.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("wanted", ["cheapest", "head"])
def test_parts_are_normalised_by_themselves_in_both_passes(wanted: str) -> None:
    """With batch norm, against the sum of the parts' own losses, by double backward."""
    parts = 2
    learner = dataclasses.replace(learner_of(_target()), accumulate=parts)
    learner = with_fields(learner, wanted=wanted, parts=parts)
    batch, before = batch_of(), copy.deepcopy(learner.model)
    weights = learner.weighter.weights[batch.indices].clone().requires_grad_()  # type: ignore[attr-defined]
    measured = train_step(learner, batch)
    assert measured.derivatives is not None
    after, compared = learner.model, [n for n, _ in before.named_parameters() if wanted != "head" or n[:4] == "task"]
    target = _target()
    with untouched_statistics(before), untouched_statistics(after):
        loss = target(after, (target.images,))
        v = torch.autograd.grad(loss, [dict(after.named_parameters())[name] for name in compared])
        losses = torch.cat([before.losses(views_of(before, images)) for images in batch.images.tensor_split([2])])
        total = (weights * losses).sum()
        own = [dict(before.named_parameters())[name] for name in compared]
        gradients = torch.autograd.grad(total, own, create_graph=True)
        product = torch.stack([(a * b).sum() for a, b in zip(v, gradients, strict=True)]).sum()
        expected = torch.autograd.grad(product, weights)[0]
    torch.testing.assert_close(measured.losses, losses.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(measured.derivatives, expected, rtol=1e-9, atol=1e-12)
