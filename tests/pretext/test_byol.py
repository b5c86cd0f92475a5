"""BYOL against the paper's equation, and its teacher's schedule."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from bdw.config import RunConfig
from bdw.config.pretext_options.byol import BYOLOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext import PretextModel
from bdw.pretext.byol import BYOL
from bdw.training.trainer import Trainer
from tests.pretext.cases import CASES, small_encoder
from tests.pretext.models import views_of


def _model(**options: object) -> PretextModel:
    case = CASES["byol"]
    return dataclasses.replace(case, options=dataclasses.replace(case.options, **options)).model()


def test_losses_are_equation_2_of_both_views() -> None:
    model = _model()
    with torch.no_grad():
        for parameter in model.task.teacher.parameters():
            parameter.mul_(1.1)
    views = views_of(model, CASES["byol"].images(7))
    outputs = model(views)
    found = model.task.losses(outputs).detach()
    task, rows = model.task, views.inputs[0]
    predicted = task.predictor(task.projector(model.encoder(rows))).detach()
    taught = task.teacher.copies[1](task.teacher.copies[0](rows))
    for i in range(7):
        expected = 0.0
        for own, other in ((2 * i, 2 * i + 1), (2 * i + 1, 2 * i)):
            p, z = predicted[own] / predicted[own].norm(), taught[other] / taught[other].norm()
            expected += float((p - z).square().sum())
        assert float(found[i]) == pytest.approx(expected, rel=1e-10)
    assert outputs.hits is None
    assert not outputs.given[0].requires_grad


@pytest.mark.parametrize(("progress", "momentum"), [(0.0, 0.9), (0.5, 0.95), (1.0, 1.0)])
def test_the_teacher_stands_still_at_the_end_of_the_budget(progress: float, momentum: float) -> None:
    model = _model(teacher_momentum=0.9)
    before = [parameter.clone() for parameter in model.task.teacher.parameters()]
    with torch.no_grad():
        for parameter in (*model.encoder.parameters(), *model.task.projector.parameters()):
            parameter.add_(torch.ones_like(parameter))
    model.task.after_step(model.encoder, model(views_of(model, CASES["byol"].images(7))), progress)
    for was, now in zip(before, model.task.teacher.parameters(), strict=True):
        torch.testing.assert_close(now, was + (1 - momentum), rtol=1e-12, atol=1e-12)


def test_a_teacher_begins_with_the_weights_that_the_encoder_was_given() -> None:
    model = _model()
    with torch.no_grad():
        next(model.encoder.parameters()).fill_(0.25)
    model.task.begin(model.encoder)
    assert bool((next(model.task.teacher.parameters()) == 0.25).all())


def test_the_two_views_are_blurred_and_solarised_with_probabilities_of_their_own() -> None:
    first, second = BYOL(small_encoder(3, 6, "group")).augmentations
    assert (first.blur, first.solarise) == (1.0, 0.0)
    assert (second.blur, second.solarise) == (0.1, 0.2)
    assert dataclasses.replace(second, blur=1.0, solarise=0.0) == first


def test_options_size_the_head() -> None:
    task = BYOL(small_encoder(3, 6, "group"))
    linear = [
        [(m.in_features, m.out_features) for m in part if isinstance(m, nn.Linear)]
        for part in (task.projector, task.predictor)
    ]
    assert linear == [[(5, 4096), (4096, 256)], [(256, 4096), (4096, 256)]]


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("second_blur", 1.5, "0 to 1"),
        ("second_solarise", -0.1, "0 to 1"),
        ("teacher_momentum", 1.1, "0 to 1"),
        ("projection_dim", 0, "at least 1"),
        ("hidden_dim", 0, "at least 1"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        BYOLOptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"


def test_the_recommended_shortcuts_run_with_it(config: RunConfig, problem: Problem) -> None:
    settings = {
        "pretext": "byol", "pretext.hidden_dim": 32, "meta_loss": "pretext", "direction_parameters": "head",
        "target_statistics": "source", "relative_derivatives": True, "target_margin": 0.06, "weighter": "counts",
        "weighted_loss": False, "direction_momentum": 0.9, "measure": "pretext_loss", "crop_size": 8, "epochs": 1,
    }  # fmt: skip
    (report,) = Trainer(config.replace(**settings), problem=problem).epochs()
    assert math.isfinite(report.validation_score)
