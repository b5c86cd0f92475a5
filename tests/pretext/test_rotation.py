"""The rotation task against a slow version that turns one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bdw.encoders import Encoder
from bdw.pretext import PretextModel, Views
from tests.pretext.models import model_of, views_of


def _model(*layers: nn.Module) -> PretextModel:
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(50, 7), *layers)
    return model_of(Encoder(backbone, 2, 7, (2, 5, 5)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_views_are_the_image_turned_by_right_angles_in_instance_order(dtype: torch.dtype) -> None:
    images = torch.randn(3, 2, 5, 5, dtype=dtype)
    found = views_of(_model(), images)
    views, angles = found.inputs
    assert torch.equal(found.images, images)
    assert angles.tolist() == [[0, 1, 2, 3]] * 3
    for instance in range(3):
        for quarter in range(4):
            expected = np.rot90(images[instance].double().numpy(), quarter, axes=(1, 2))
            np.testing.assert_array_equal(views[4 * instance + quarter].double(), expected)


def test_losses_and_hits_are_means_over_an_instances_views() -> None:
    torch.manual_seed(0)
    model, images = _model(), torch.randn(3, 2, 5, 5)
    output = model(views_of(model, images))
    found = model.task.losses(output)
    for instance in range(3):
        turned = [torch.rot90(images[instance : instance + 1], q, (2, 3)) for q in range(4)]
        logits = [model.task.head(model.encoder(view)) for view in turned]
        losses = [functional.cross_entropy(logit, torch.tensor([q])) for q, logit in enumerate(logits)]
        hits = [float(logit.argmax() == q) for q, logit in enumerate(logits)]
        torch.testing.assert_close(found[instance], torch.stack(losses).mean())
        assert float(output.hits[instance]) == np.mean(hits)
    assert not output.hits.requires_grad


@pytest.mark.parametrize("count", [1, 2, 4])
def test_some_views_carry_their_angles(count: int) -> None:
    model, images = _model(), torch.randn(50, 2, 5, 5)
    some = model.task.some_views(views_of(model, images), count, torch.Generator().manual_seed(0))
    views, angles = some.inputs
    assert views.shape == (50 * count, 2, 5, 5)
    assert angles.shape == (50, count)
    for instance in range(50):
        own = angles[instance].tolist()
        assert len(set(own)) == count
        for position, quarter in enumerate(own):
            expected = torch.rot90(images[instance], quarter, dims=(1, 2))
            assert torch.equal(views[instance * count + position], expected)
    if count < 4:
        assert len({tuple(own) for own in angles.tolist()}) == {1: 4, 2: 6}[count]


def test_a_single_view_is_right_on_average_without_batch_norm() -> None:
    torch.manual_seed(0)
    model = _model(nn.GroupNorm(1, 7), nn.Tanh()).double()
    views = views_of(model, torch.randn(3, 2, 5, 5, dtype=torch.float64))
    images, angles = views.inputs
    whole = model.losses(views)
    single = [
        model.losses(Views(views.images, (images.unflatten(0, (3, 4))[:, quarter], angles[:, quarter : quarter + 1])))
        for quarter in range(4)
    ]
    torch.testing.assert_close(torch.stack(single).mean(dim=0), whole, rtol=1e-12, atol=1e-12)
