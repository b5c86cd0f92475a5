"""SimSiam against the paper's equation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bdw.config import RunConfig
from bdw.config.pretext_options.simsiam import SimSiamOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext.simsiam import SimSiam
from bdw.training.trainer import Trainer
from tests.pretext.cases import CASES, small_encoder
from tests.pretext.models import views_of


def test_losses_and_gradients_are_those_of_equation_4() -> None:
    """No gradient comes through the projections that are predicted."""
    model = CASES["simsiam"].model()
    views = views_of(model, CASES["simsiam"].images(7))
    found, task = model.task.losses(model(views)), model.task
    projections = task.projector(model.encoder(views.inputs[0]))
    predictions = task.predictor(projections)
    aims = projections.detach().clone()
    expected = []
    for i in range(7):
        halves = []
        for own, other in ((2 * i, 2 * i + 1), (2 * i + 1, 2 * i)):
            p, z = predictions[own], aims[other]
            halves.append(-(p / p.norm()) @ (z / z.norm()) / 2)
        expected.append(halves[0] + halves[1])
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-12, atol=1e-14)
    parameters = list(model.parameters())
    for a, b in zip(
        torch.autograd.grad(found.sum(), parameters),
        torch.autograd.grad(torch.stack(expected).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_options_size_the_head_and_its_last_norm_has_no_parameters() -> None:
    task = SimSiam(small_encoder(3, 6, "group"))
    linear = [
        [(m.in_features, m.out_features) for m in part if isinstance(m, nn.Linear)]
        for part in (task.projector, task.predictor)
    ]
    assert linear == [[(5, 2048), (2048, 2048), (2048, 2048)], [(2048, 512), (512, 2048)]]
    assert not list(task.projector[-1].parameters())
    assert isinstance(task.projector[-1], nn.BatchNorm1d)
    assert isinstance(task.predictor[-1], nn.Linear)


@pytest.mark.parametrize("field", ["projection_dim", "hidden_dim"])
def test_options_that_cannot_work_are_refused(field: str) -> None:
    with pytest.raises(InputError) as error:
        SimSiamOptions(**{field: 0})
    assert str(error.value) == f"pretext.{field}: 0 cannot work; allowed: at least 1"


def test_the_recommended_shortcuts_run_with_it(config: RunConfig, problem: Problem) -> None:
    settings = {
        "pretext": "simsiam", "pretext.projection_dim": 32, "meta_loss": "pretext", "direction_parameters": "head",
        "target_statistics": "source", "relative_derivatives": True, "target_margin": 0.06, "weighter": "counts",
        "weighted_loss": False, "direction_momentum": 0.9, "measure": "pretext_loss", "crop_size": 8, "epochs": 1,
    }  # fmt: skip
    (report,) = Trainer(config.replace(**settings), problem=problem).epochs()
    assert math.isfinite(report.validation_score)
