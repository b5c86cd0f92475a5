"""The auto-encoder's loss against numbers computed in numpy and by quadrature, and its meta-gradient."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from bdw import encoders
from bdw.config.pretext_options.auto_encoder import AutoEncoderOptions
from bdw.errors import InputError
from bdw.pretext import PretextModel, Views
from bdw.pretext.vae import VariationalAutoEncoder
from bdw.weighting.gradient.forward_mode import instance_directional_derivatives
from tests.pretext.models import losses_of, model_of, views_of


@pytest.fixture
def model() -> PretextModel:
    torch.manual_seed(0)
    return model_of(encoders.build("mlp", 1, 6), "vae").double()


@pytest.fixture
def views(model: PretextModel) -> Views:
    images = torch.rand(5, 1, 6, 6, dtype=torch.float64) * 2 - 1
    return views_of(model, images, seed=1)


def test_noise_is_drawn_once_and_from_the_generator(model: PretextModel) -> None:
    images = torch.zeros(4, 1, 6, 6)
    first, again = (views_of(model, images, seed=3).inputs for _ in range(2))
    assert torch.equal(first[1], again[1])
    assert first[1].shape == (4, 1)
    assert len(first[1].unique()) == 4


def test_losses_are_squared_errors_and_divergences(model: PretextModel, views: Views) -> None:
    images, noise = (view.numpy() for view in views.inputs)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    losses = model.losses(views).detach().numpy()
    for i in range(5):
        x = images[i].reshape(-1)
        h = np.maximum(state["encoder.backbone.1.weight"] @ x + state["encoder.backbone.1.bias"], 0)
        mean, log_variance = state["task.code.weight"] @ h + state["task.code.bias"]
        code = mean + math.exp(log_variance / 2) * noise[i]
        h = np.maximum(state["task.decoder.0.weight"] @ code + state["task.decoder.0.bias"], 0)
        pixels = np.tanh(state["task.decoder.2.weight"] @ h + state["task.decoder.2.bias"])
        posterior, prior = scipy.stats.norm(mean, math.exp(log_variance / 2)), scipy.stats.norm()

        def excess(z: float, posterior=posterior, prior=prior) -> float:
            return float(posterior.pdf(z) * (posterior.logpdf(z) - prior.logpdf(z)))

        divergence, _ = scipy.integrate.quad(excess, mean - 12, mean + 12, epsabs=1e-12)
        assert losses[i] == pytest.approx(((pixels - x) ** 2).sum() + divergence, rel=1e-9)


def test_nothing_is_right_or_wrong(model: PretextModel, views: Views) -> None:
    assert model(views).hits is None


def test_tangents_equal_inner_products_with_each_instances_gradient(model: PretextModel, views: Views) -> None:
    params = {name: value.detach() for name, value in model.named_parameters()}
    direction = {name: torch.randn_like(value) for name, value in params.items()}
    got = instance_directional_derivatives(losses_of(model, views), params, direction)
    for i in range(5):
        gradients = torch.autograd.grad(model.losses(views)[i], list(model.parameters()))
        expected = sum((g * direction[name]).sum() for g, name in zip(gradients, params, strict=True))
        torch.testing.assert_close(got[i], expected, rtol=1e-10, atol=1e-12)


def test_a_code_may_be_longer() -> None:
    torch.manual_seed(0)
    encoder = encoders.build("mlp", 1, 6)
    options = AutoEncoderOptions(latent_size=3, decoder_width=8)
    model = PretextModel(encoder, VariationalAutoEncoder(encoder, options)).double()
    views = views_of(model, torch.rand(5, 1, 6, 6, dtype=torch.float64) * 2 - 1)
    _, noise = views.inputs
    (pixels, mean, log_variance), _, features, *_ = model(views)
    assert noise.shape == mean.shape == log_variance.shape == (5, 3)
    expected = model.task.decoder(mean + (log_variance / 2).exp() * noise)
    torch.testing.assert_close(pixels, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(torch.cat([mean, log_variance], dim=1), model.task.code(features))


@pytest.mark.parametrize("field", ["latent_size", "decoder_width"])
def test_options_that_cannot_work_are_refused(field: str) -> None:
    with pytest.raises(InputError, match=f"pretext.{field}: 0 cannot work; allowed: at least 1"):
        AutoEncoderOptions(**{field: 0})
