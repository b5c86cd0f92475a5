"""Inner products from the training pass against forward mode and against each instance's own gradient, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bdw import encoders
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.pretext import PretextModel, Views
from bdw.weighting.gradient import estimators
from bdw.weighting.gradient.forward_mode import instance_directional_derivatives
from bdw.weighting.gradient.from_training_pass import LayerTangents, layers_of
from tests.pretext.models import losses_of, model_of, views_of

K = 6


def auto_encoder() -> PretextModel:
    return model_of(encoders.build("mlp", 1, 8), "vae")


def convolutions() -> PretextModel:
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False), nn.GroupNorm(2, 4), nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, 3, groups=2, padding=1, padding_mode="reflect"), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5, bias=False), nn.Tanh(),
    )  # fmt: skip
    return model_of(Encoder(backbone, 1, 5, (1, 8, 8)), "rotation")


def shared_layer() -> PretextModel:
    layer = nn.Linear(8, 8)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), layer, nn.Tanh(), layer, nn.Tanh())
    return model_of(Encoder(backbone, 1, 8, (1, 8, 8)), "rotation")


def views_and_weights(model: PretextModel) -> tuple[Views, Tensor]:
    images = torch.rand(K, 1, 8, 8, dtype=torch.float64) * 2 - 1
    return views_of(model, images), torch.rand(K, dtype=torch.float64) + 1e-12


@pytest.mark.parametrize("make", [auto_encoder, convolutions, shared_layer])
@pytest.mark.parametrize("whole_direction", [True, False])
def test_equals_forward_mode(make: Callable[[], PretextModel], whole_direction: bool) -> None:
    torch.manual_seed(0)
    model = make().double()
    views, weights = views_and_weights(model)
    params = {name: value.detach().clone() for name, value in model.named_parameters()}
    direction = {name: torch.randn_like(value) for name, value in params.items()}
    if not whole_direction:  # Prototypes do not depend on the head; a bias may be missing as well.
        direction = {name: v for name, v in direction.items() if name.startswith("encoder") and "bias" not in name}
    expected = instance_directional_derivatives(losses_of(model, views), params, direction)
    layers = layers_of(model)
    assert layers is not None
    with LayerTangents(layers) as tangents:
        (weights * model.losses(views)).sum().div(K).backward()
    torch.testing.assert_close(tangents.derivatives(direction, weights / K), expected, rtol=1e-10, atol=1e-12)


def behind_batch_norm() -> PretextModel:
    return model_of(encoders.build("small_cnn", 1, 8), "rotation")


@pytest.mark.parametrize("make", [behind_batch_norm, auto_encoder])
def test_a_head_by_itself_is_told_by_its_name_in_the_model(make: Callable[[], PretextModel]) -> None:
    """Batch norm before it lets images depend on each other, but not on the head's parameters."""
    torch.manual_seed(0)
    model = make().double()
    views, weights = views_and_weights(model)
    params = {name: value.detach().clone() for name, value in model.named_parameters()}
    direction = {name: torch.randn_like(value) for name, value in params.items() if name.startswith("task")}
    expected = instance_directional_derivatives(losses_of(model, views), params, direction)
    layers = layers_of(model.task, "task")
    assert layers is not None
    with LayerTangents(layers) as tangents:
        (weights * model.losses(views)).sum().div(K).backward()
    torch.testing.assert_close(tangents.derivatives(direction, weights / K), expected, rtol=1e-10, atol=1e-12)


def test_nothing_stays_hooked() -> None:
    torch.manual_seed(0)
    model = auto_encoder().double()
    views, weights = views_and_weights(model)
    layers = layers_of(model)
    assert layers is not None
    with LayerTangents(layers):
        (weights * model.losses(views)).sum().backward()
    assert all(not layer._forward_hooks for layer in layers.values())


def test_models_whose_instances_interact_or_with_unknown_layers_are_left_to_forward_mode() -> None:
    assert layers_of(model_of(encoders.build("small_cnn", 1, 16), "rotation")) is None
    bare = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8, affine=False))
    assert layers_of(model_of(Encoder(bare, 1, 8, (1, 8, 8)), "rotation")) is None
    strange = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.PReLU())
    assert layers_of(model_of(Encoder(strange, 1, 8, (1, 8, 8)), "rotation")) is None


def test_a_net_of_another_library_is_not_looked_into() -> None:
    """Its layers might be used otherwise than by calling them; forward mode sees whatever it does."""
    torch.manual_seed(0)
    model = model_of(encoders.build("timm:resnet18", 3, 32, "group"))
    with pytest.raises(InputError, match="where an encoder of another library may use its weights"):
        estimators.TrainingPass(model)
    assert isinstance(estimators.choose(model), estimators.ForwardMode)
    ours = model_of(encoders.build("resnet18", 3, 32, "group"))
    assert isinstance(estimators.choose(ours), estimators.TrainingPass)
