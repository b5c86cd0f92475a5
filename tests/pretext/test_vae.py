"""The auto-encoder's loss against numbers computed in numpy and by quadrature, and its meta-gradient."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.func import functional_call

from bdw import encoders, pretext
from bdw.pretext import PretextModel
from bdw.weighting.gradient.forward_mode import instance_directional_derivatives


@pytest.fixture
def model() -> PretextModel:
    torch.manual_seed(0)
    return PretextModel(encoders.build("mlp", 1, 6), pretext.build("vae")).double()


@pytest.fixture
def views(model: PretextModel) -> tuple[torch.Tensor, ...]:
    images = torch.rand(5, 1, 6, 6, dtype=torch.float64) * 2 - 1
    return model.task.views(images, torch.Generator().manual_seed(1))


def test_noise_is_drawn_once_and_from_the_generator(model: PretextModel) -> None:
    images = torch.zeros(4, 1, 6, 6)
    first, again = (model.task.views(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first[1], again[1])
    assert first[1].shape == (4, 1)
    assert len(first[1].unique()) == 4


def test_losses_are_squared_errors_and_divergences(model: PretextModel, views: tuple[torch.Tensor, ...]) -> None:
    images, noise = (view.numpy() for view in views)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    losses = model(views).losses.detach().numpy()
    for i in range(5):
        x = images[i].reshape(-1)
        h = np.maximum(state["encoder.backbone.1.weight"] @ x + state["encoder.backbone.1.bias"], 0)
        mean, log_variance = state["head.code.weight"] @ h + state["head.code.bias"]
        code = mean + math.exp(log_variance / 2) * noise[i]
        h = np.maximum(state["head.decoder.0.weight"] @ code + state["head.decoder.0.bias"], 0)
        pixels = np.tanh(state["head.decoder.2.weight"] @ h + state["head.decoder.2.bias"])
        posterior, prior = scipy.stats.norm(mean, math.exp(log_variance / 2)), scipy.stats.norm()

        def excess(z: float, posterior=posterior, prior=prior) -> float:
            return float(posterior.pdf(z) * (posterior.logpdf(z) - prior.logpdf(z)))

        divergence, _ = scipy.integrate.quad(excess, mean - 12, mean + 12, epsabs=1e-12)
        assert losses[i] == pytest.approx(((pixels - x) ** 2).sum() + divergence, rel=1e-9)


def test_nothing_is_right_or_wrong(model: PretextModel, views: tuple[torch.Tensor, ...]) -> None:
    assert model(views).hits is None


def test_tangents_equal_inner_products_with_each_instances_gradient(
    model: PretextModel, views: tuple[torch.Tensor, ...]
) -> None:
    params = {name: value.detach() for name, value in model.named_parameters()}
    direction = {name: torch.randn_like(value) for name, value in params.items()}
    got = instance_directional_derivatives(lambda p: functional_call(model, p, (views,)).losses, params, direction)
    for i in range(5):
        gradients = torch.autograd.grad(model(views).losses[i], list(model.parameters()))
        expected = sum((g * direction[name]).sum() for g, name in zip(gradients, params, strict=True))
        torch.testing.assert_close(got[i], expected, rtol=1e-10, atol=1e-12)
