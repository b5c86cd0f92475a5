"""Gradients of a head compared in their own metric, against backward passes and numpy's inverse."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from bdw.encoders import Encoder
from bdw.weighting.gradient.natural_gradient import DAMPING, MEMORY, NaturalDirection, flat, head_gradients
from tests.pretext.models import model_of, views_of

CPU = torch.device("cpu")


def _gradients(number: int, seed: int = 0, size: int = 7) -> Tensor:
    return torch.randn(number, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _oracle(
    fisher: NDArray[np.float64], gradients: NDArray[np.float64], direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    natural = np.linalg.inv(fisher + DAMPING * np.trace(fisher) / len(fisher) * np.eye(len(fisher))) @ direction
    natural *= np.linalg.norm(direction) / np.linalg.norm(natural)
    return np.asarray(gradients @ natural / np.linalg.norm(gradients, axis=1))


def test_it_is_the_natural_gradient_of_all_visits_so_far_the_older_the_less() -> None:
    first, second, direction = _gradients(50).numpy(), _gradients(30, seed=1).numpy(), _gradients(1, seed=2)[0].numpy()
    natural = NaturalDirection()
    found = [natural.derivatives(torch.from_numpy(g), torch.from_numpy(direction)) for g in (first, second)]
    np.testing.assert_allclose(found[0], _oracle(first.T @ first / 50, first, direction), rtol=1e-10)
    old = math.exp(-30 / MEMORY)
    fisher = (old * first.T @ first + second.T @ second) / (old * 50 + 30)
    np.testing.assert_allclose(found[1], _oracle(fisher, second, direction), rtol=1e-10)


def test_what_all_images_have_hides_nothing() -> None:
    """Two kinds of images differ along one axis; along another all have large gradients, and so does the target."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.rand(400, generator=generator) < 0.5
    gradients = 0.3 * torch.randn(400, 8, generator=generator, dtype=torch.float64)
    gradients[:, 0] *= 5
    gradients[:, 1] += 0.3 * (2 * kind.double() - 1)
    direction = torch.tensor([0.3, 0.3, 0, 0, 0, 0, 0, 0], dtype=torch.float64)
    assert roc_auc_score(kind, gradients @ direction) < 0.65
    assert roc_auc_score(kind, NaturalDirection().derivatives(gradients, direction)) > 0.85


def test_lengths_of_single_gradients_change_nothing_else() -> None:
    gradients, direction = _gradients(20), _gradients(1, seed=1)[0]
    natural = NaturalDirection()
    found = natural.derivatives(gradients, direction)
    twice = copy.deepcopy(natural).derivatives(gradients, direction)
    scaled = natural.derivatives(gradients * -1, direction)
    torch.testing.assert_close(scaled, -twice)
    torch.testing.assert_close(found, twice)
    units = NaturalDirection().derivatives(1e-3 * gradients, direction)
    torch.testing.assert_close(units, found)
    assert (found.abs() <= float(direction.norm())).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_gradient_says_nothing(dtype: torch.dtype) -> None:
    natural, direction = NaturalDirection(), torch.ones(3, dtype=dtype)
    assert torch.equal(natural.derivatives(torch.zeros(4, 3, dtype=dtype), direction), torch.zeros(4, dtype=dtype))
    gradients = torch.eye(3, dtype=dtype)
    gradients[1] = 0
    found = natural.derivatives(gradients, torch.zeros(3, dtype=dtype))
    assert torch.equal(found, torch.zeros(3, dtype=dtype))
    found = natural.derivatives(gradients, direction)
    assert found[1] == 0
    assert found.dtype == dtype
    assert (found[[0, 2]] > 0).all()


def test_images_learnt_by_heart_say_no_more_than_others() -> None:
    """Squares of their gradients are 0 in single precision; directions are not."""
    gradients, direction = _gradients(20).float(), _gradients(1, seed=1)[0].float()
    expected = NaturalDirection().derivatives(gradients, direction)
    for tiny in (1e-24, 1e-34):
        scaled = gradients.clone()
        scaled[3] *= tiny
        found = NaturalDirection().derivatives(scaled, direction)
        assert found[3].abs() <= 1.01 * direction.norm()
        assert torch.sign(found[3]) == torch.sign(expected[3])


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_a_run_that_diverges_is_told_so_by_whoever_looks_for_it(value: float) -> None:
    natural, gradients, direction = NaturalDirection(), _gradients(20).float(), _gradients(1, seed=1)[0].float()
    before = natural.derivatives(gradients, direction)
    broken = gradients.clone()
    broken[3, 2] = value
    assert bool(natural.derivatives(broken, direction).isnan().all())
    assert bool(before.isfinite().all())


def test_it_goes_on_bit_for_bit() -> None:
    whole, first, second = NaturalDirection(), NaturalDirection(), NaturalDirection()
    second.load_state_dict(first.state_dict())  # before anything was seen
    direction = _gradients(1, seed=9)[0]
    for seed in range(3):
        for natural in (whole, first):
            natural.derivatives(_gradients(16, seed), direction)
    second.load_state_dict(first.state_dict())
    first.derivatives(_gradients(16, 77), direction)  # whose state is its own
    for seed in range(3, 6):
        told = [natural.derivatives(_gradients(16, seed), direction) for natural in (whole, second)]
        assert torch.equal(*told)


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_a_linear_head_are_those_of_a_backward_pass(bias: bool) -> None:
    torch.manual_seed(0)
    encoder = Encoder(nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.Tanh()), 1, 5, (1, 6, 6))
    model = model_of(encoder)
    model.task.head = nn.Linear(5, 4, bias=bias)
    model.double()
    views = views_of(model, torch.randn(6, 1, 6, 6, dtype=torch.float64))
    output = model(views)
    head = {name: value.detach() for name, value in model.task.named_parameters()}
    found = head_gradients(model.task, output.features, views, head)
    assert found.shape == (6, 4 * (5 + bias))
    for loss, gradient in zip(model.task.losses(output), found, strict=True):
        expected = torch.autograd.grad(loss, list(model.task.parameters()), retain_graph=True)
        torch.testing.assert_close(gradient, flat(dict(zip(head, expected, strict=True))))
