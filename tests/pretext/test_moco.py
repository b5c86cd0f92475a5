"""MoCo against the paper's equation, and its queue against a list."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bdw.config import RunConfig
from bdw.config.pretext_options.moco import MoCoV1Options, MoCoV2Options
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext import PretextModel, Views
from bdw.pretext.moco import MoCoV1, MoCoV2
from bdw.training.trainer import Trainer
from tests.pretext.cases import CASES, small_encoder
from tests.pretext.models import views_of

K = 7


def _model(**options: object) -> PretextModel:
    case = CASES["moco_v2"]
    return dataclasses.replace(case, options=dataclasses.replace(case.options, **options)).model()


def _views(model: PretextModel, seed: int = 0, first: int = 0) -> Views:
    views = views_of(model, CASES["moco_v2"].images(K), seed=seed)
    return views._replace(instances=torch.arange(first, first + K))


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


def test_losses_are_equation_1_without_keys_of_the_own_image() -> None:
    model = _model(temperature=0.3)
    with torch.no_grad():
        for parameter in model.task.teacher.parameters():
            parameter.mul_(1.1)
    task = model.task
    task.queue_instances.copy_(torch.tensor([2, -1, 4, 2, 30]))
    views = _views(model)
    outputs = model(views)
    found = task.losses(outputs).detach()
    queries = _unit(task.projector(model.encoder(views.inputs[0])).detach())
    keys = _unit(task.teacher(views.inputs[1]))
    for i, query in enumerate(queries):
        same = math.exp(float(query @ keys[i]) / 0.3)
        negatives = [row for row, of in zip(task.queue, task.queue_instances.tolist(), strict=True) if of != i]
        assert len(negatives) == {2: 3, 4: 4}.get(i, 5)
        others = [math.exp(float(query @ row) / 0.3) for row in negatives]
        assert float(found[i]) == pytest.approx(-math.log(same / (same + sum(others))), rel=1e-10)
        assert bool(outputs.hits[i]) == (same > max(others))


@pytest.mark.parametrize("length", [3, 5, 7, 16])
def test_the_queue_holds_the_newest_keys(length: int) -> None:
    model = _model(queue=length)
    keys = list(model.task.queue.unbind())
    numbers = [-1] * length
    for step in range(5):
        outputs = model(_views(model, seed=step, first=step))
        model.task.after_step(model.encoder, outputs, 0.5)
        keys = [*keys, *outputs.given[0].unbind()][-length:]
        numbers = [*numbers, *range(step, step + K)][-length:]
        turn = int(model.task.oldest)
        torch.testing.assert_close(model.task.queue.roll(-turn, 0), torch.stack(keys), rtol=0, atol=0)
        assert model.task.queue_instances.roll(-turn).tolist() == numbers


def test_the_teacher_follows_with_the_momentum_of_equation_2() -> None:
    model = _model(teacher_momentum=0.9)
    before = [parameter.clone() for parameter in model.task.teacher.parameters()]
    with torch.no_grad():
        for parameter in (*model.encoder.parameters(), *model.task.projector.parameters()):
            parameter.add_(torch.ones_like(parameter))
    model.task.after_step(model.encoder, model(_views(model)), 0.5)
    for was, now in zip(before, model.task.teacher.parameters(), strict=True):
        torch.testing.assert_close(now, was + 0.1, rtol=1e-12, atol=1e-12)


def test_a_teacher_begins_with_the_weights_that_the_encoder_was_given() -> None:
    model = _model()
    with torch.no_grad():
        next(model.encoder.parameters()).fill_(0.25)
    model.task.begin(model.encoder)
    assert bool((next(model.task.teacher.parameters()) == 0.25).all())


@pytest.mark.parametrize(
    ("images", "queue", "length"), [(7, None, 1), (6000, None, 375), (2_000_000, None, 65_536), (20, 50, 50)]
)
def test_without_a_length_the_queue_is_a_sixteenth_of_the_source(images: int, queue: int | None, length: int) -> None:
    with torch.device("meta"):
        task = MoCoV2(small_encoder(3, 6, "group"), MoCoV2Options(queue=queue))
        task.keep(torch.ones(images, dtype=torch.bool, device="cpu"))
    assert task.queue.shape == (length, 128)


def test_it_begins_with_random_keys_of_length_1_and_keeps_them_when_an_epoch_begins() -> None:
    task = _model(queue=16).task
    before = task.queue.clone()
    torch.testing.assert_close(before.norm(dim=1), torch.ones(16, dtype=torch.float64), rtol=0, atol=1e-6)
    task.keep(torch.zeros(3, dtype=torch.bool))
    assert torch.equal(task.queue, before)


def test_options_size_the_projector() -> None:
    def widths(task: type[MoCoV2], **options: object) -> list[tuple[int, int]]:
        made = task(small_encoder(3, 6, "group"), task.Options(**options))
        return [(m.in_features, m.out_features) for m in made.projector if isinstance(m, nn.Linear)]

    assert widths(MoCoV1) == [(5, 128)]
    assert widths(MoCoV2) == [(5, 5), (5, 128)]
    assert widths(MoCoV2, hidden_dim=9, projection_dim=3) == [(5, 9), (9, 3)]


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("temperature", 0.0, "a number above 0"),
        ("projection_dim", 0, "at least 1"),
        ("hidden_dim", -1, "at least 0, or none for the features'"),
        ("queue", 0, "at least 1, or none for a share of the source"),
        ("teacher_momentum", 1.5, "0 to 1"),
    ],
)
@pytest.mark.parametrize("options", [MoCoV1Options, MoCoV2Options])
def test_options_that_cannot_work_are_refused(options: type, field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        options(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"


def test_it_trains_and_continues_bit_for_bit(config: RunConfig, problem: Problem, tmp_path: Path) -> None:
    settings = {"pretext": "moco_v2", "meta_loss": "pretext", "measure": "pretext_loss", "crop_size": 8, "epochs": 2}
    whole = Trainer(config.replace(**settings, run_dir=str(tmp_path / "whole")), problem=problem)
    assert all(math.isfinite(report.validation_score) for report in whole.epochs())
    parts = config.replace(**settings, run_dir=str(tmp_path / "parts"))
    next(iter(Trainer(parts, problem=problem).epochs()))
    again = Trainer(parts.replace(resume=True), problem=problem)
    list(again.epochs())
    for name, value in whole.learner.model.state_dict().items():
        assert torch.equal(value, again.learner.model.state_dict()[name]), name
