"""DINO against the paper's equations, pair by pair."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bdw.config import RunConfig
from bdw.config.pretext_options.dino import DINOOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext import Outputs, PretextModel
from bdw.pretext.prototypes import Prototypes, cross_entropy_between_views
from bdw.training.trainer import Trainer
from tests.pretext.cases import CASES
from tests.pretext.models import views_of


def _outputs() -> tuple[PretextModel, Outputs]:
    model = CASES["dino"].model()
    with torch.no_grad():
        model.task.centre.normal_(std=0.1, generator=torch.Generator().manual_seed(5))
        model.task.teacher_temperature.fill_(0.05)
        return model, model(views_of(model, CASES["dino"].images(3)))


def test_losses_are_equation_3_pair_by_pair() -> None:
    model, outputs = _outputs()
    (cosines,), (taught,) = outputs.z, outputs.given
    found = model.task.losses(outputs)
    for i in range(3):
        expected = 0.0
        for large in range(2):
            wanted = [math.exp((float(taught[i, large, p]) - float(model.task.centre[p])) / 0.05) for p in range(9)]
            for other in range(5):
                if other == large:
                    continue
                sorts = [math.exp(float(cosines[i, other, p]) / 0.1) for p in range(9)]
                expected -= sum(w / sum(wanted) * math.log(s / sum(sorts)) for w, s in zip(wanted, sorts, strict=True))
        assert float(found[i]) == pytest.approx(expected / 8, rel=1e-10)


def test_outputs_are_cosines_of_all_crops_and_the_teachers_of_large_ones() -> None:
    model, outputs = _outputs()
    views = views_of(model, CASES["dino"].images(3))
    with torch.no_grad():
        embeddings = model.task.projector(model.encoder(views.inputs[1]))
        small = nn.functional.cosine_similarity(embeddings[:, None], model.task.prototypes.weight[None], dim=2)
        torch.testing.assert_close(outputs.z[0][:, 2:].flatten(0, 1), small, rtol=1e-10, atol=1e-12)
        # The teacher starts as the student.
        torch.testing.assert_close(outputs.given[0], outputs.z[0][:, :2], rtol=1e-12, atol=1e-12)


def test_the_centre_is_equation_4_and_the_temperature_rises_over_a_tenth_of_the_budget() -> None:
    model, outputs = _outputs()
    task, was = model.task, model.task.centre.clone()
    task.after_step(model.encoder, outputs, 0.05)
    expected = 0.9 * was + 0.1 * outputs.given[0].flatten(0, 1).mean(dim=0)
    torch.testing.assert_close(task.centre, expected, rtol=1e-12, atol=1e-14)
    assert float(task.teacher_temperature) == pytest.approx(0.055, rel=1e-12)
    for progress in (0.1, 1.0):
        task.after_step(model.encoder, outputs, progress)
        assert float(task.teacher_temperature) == pytest.approx(0.07, rel=1e-12)


def test_the_teacher_follows_encoder_and_head() -> None:
    model, outputs = _outputs()
    task = model.task
    before = [value.clone() for value in task.teacher.parameters()]
    students = [*model.encoder.parameters(), *task.projector.parameters(), *task.prototypes.parameters()]
    with torch.no_grad():
        for value in students:
            value.add_(1)
    task.after_step(model.encoder, outputs, 0.0)
    for found, was, student in zip(task.teacher.parameters(), before, students, strict=True):
        torch.testing.assert_close(found, 0.996 * was + 0.004 * student, rtol=1e-10, atol=1e-12)
    task.begin(model.encoder)
    for found, student in zip(task.teacher.parameters(), students, strict=True):
        assert torch.equal(found, student)


def test_prototypes_are_blind_to_lengths() -> None:
    torch.manual_seed(0)
    prototypes = Prototypes(4, 6).double()
    rows = torch.randn(3, 4, dtype=torch.float64)
    found = prototypes(rows)
    with torch.no_grad():
        prototypes.weight.mul_(torch.rand(6, 1) + 0.5)
    torch.testing.assert_close(prototypes(3 * rows), found, rtol=1e-12, atol=1e-14)
    assert float(found.abs().max().detach()) <= 1


def test_a_view_that_sorts_as_wanted_costs_the_entropy() -> None:
    """The least that a cross-entropy can be."""
    probabilities = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64)
    wanted, logits = probabilities.expand(2, -1)[None], probabilities.log().expand(4, -1)[None]
    expected = -sum(p * math.log(p) for p in (0.5, 0.25, 0.25))
    assert float(cross_entropy_between_views(wanted, logits)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("teacher_temperature", 0.0, "a number above 0"),
        ("warm_up_share", 1.5, "0 to 1"),
        ("teacher_momentum", -0.1, "0 to 1"),
        ("prototypes", 1, "at least 2"),
        ("hidden_dim", 0, "at least 1"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        DINOOptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"


SMALL = {"pretext.projection_dim": 4, "pretext.hidden_dim": 6, "pretext.prototypes": 8,
         "pretext.local_crops": 2, "pretext.local_size": 4}  # fmt: skip


@pytest.mark.parametrize("name", ["dino", "swav"])
def test_it_trains_with_small_crops_and_the_heads_gradients(config: RunConfig, problem: Problem, name: str) -> None:
    settings = {"pretext": name, "meta_loss": "pretext", "crop_size": 8, "epochs": 1, **SMALL}
    head = {"direction_parameters": "head", "shared_derivatives": True, "weighter": "counts"}
    for number, more in enumerate(({}, head)):
        run_dir = f"{config.output.run_dir}-{number}"
        trainer = Trainer(config.replace(encoder="small_cnn", run_dir=run_dir, **settings, **more), problem=problem)
        (report,) = trainer.epochs()
        assert math.isfinite(report.loss)
        assert math.isfinite(report.meta_loss)
