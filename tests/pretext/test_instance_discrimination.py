"""Instance discrimination against the paper's equations, written out row by row."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bdw.config import RunConfig
from bdw.config.pretext_options.instance_discrimination import InstanceDiscriminationOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext import PretextModel
from bdw.pretext.instance_discrimination import InstanceDiscrimination
from bdw.training.data_parallel import replicated
from bdw.training.trainer import Trainer
from tests.pretext.cases import CASES, INSTANCES
from tests.pretext.models import as_stored, views_of
from tests.workers import on_workers

K = 7


def _model(**options: float) -> PretextModel:
    small = dataclasses.replace(CASES["instance_discrimination"].options, **options)
    model = dataclasses.replace(CASES["instance_discrimination"], options=small).model()
    model.task.memory.copy_(functional.normalize(model.task.memory, dim=1))  # It was drawn in float32.
    return model


def _images() -> Tensor:
    return CASES["instance_discrimination"].images(K)


def _embeddings(model: PretextModel, images: Tensor) -> Tensor:
    rows = model.task.projector(model.encoder(images)).detach()
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("proximal", [0.0, 30.0])
def test_losses_are_equations_2_and_9_over_the_rows_that_are_kept(temperature: float, proximal: float) -> None:
    model = _model(temperature=temperature, proximal=proximal)
    kept = torch.arange(INSTANCES) % 4 != 1
    numbers = kept.nonzero().flatten()[torch.randperm(int(kept.sum()), generator=torch.Generator().manual_seed(0))[:K]]
    model.task.keep(kept)
    views = views_of(model, _images())._replace(instances=numbers)
    outputs = model(views)
    found, memory = model.task.losses(outputs).detach(), model.task.memory
    for row, (f, i) in enumerate(zip(_embeddings(model, views.inputs[0]), numbers.tolist(), strict=True)):
        scores = [math.exp(float(memory[j] @ f) / temperature) for j in range(INSTANCES) if kept[j]]
        expected = -math.log(math.exp(float(memory[i] @ f) / temperature) / sum(scores))
        expected += proximal * float((f - memory[i]).square().sum())
        assert float(found[row]) == pytest.approx(expected, rel=1e-10)
        assert bool(outputs.hits[row]) == (math.exp(float(memory[i] @ f) / temperature) == max(scores))


def test_the_memory_begins_with_random_rows_of_length_1_and_visits_move_them() -> None:
    model = _model()
    before = model.task.memory.clone()
    torch.testing.assert_close(before.norm(dim=1), torch.ones(INSTANCES, dtype=torch.float64), rtol=0, atol=1e-6)
    assert float((before @ before.T).fill_diagonal_(0).abs().max()) < 1, "no two rows are the same"
    views = views_of(model, _images())._replace(instances=torch.arange(10, 10 + K))
    model.task.after_step(model.encoder, model(views), 0.5)
    for row, f in enumerate(_embeddings(model, views.inputs[0]), start=10):
        moved = 0.5 * before[row] + 0.5 * f
        torch.testing.assert_close(model.task.memory[row], moved / moved.norm(), rtol=1e-12, atol=1e-14)
    assert torch.equal(model.task.memory[:10], before[:10])
    assert torch.equal(model.task.memory[10 + K :], before[10 + K :])


def test_an_image_outside_the_source_is_told_from_all_rows_by_the_embedding_of_its_crop() -> None:
    model = _model(temperature=0.5, proximal=0.0)
    views = views_of(model, _images())
    found, memory = model.task.losses(model(views)).detach(), model.task.memory
    own = _embeddings(model, as_stored(_images()))
    for row, f in enumerate(_embeddings(model, views.inputs[0])):
        same = math.exp(float(own[row] @ f) / 0.5)
        others = sum(math.exp(float(memory[j] @ f) / 0.5) for j in range(INSTANCES))
        assert float(found[row]) == pytest.approx(-math.log(same / (same + others)), rel=1e-10)


def test_a_memory_of_the_same_length_is_not_drawn_anew() -> None:
    model = _model()
    before = model.task.memory.clone()
    model.task.keep(torch.zeros(INSTANCES, dtype=torch.bool))
    assert torch.equal(model.task.memory, before)
    assert not bool(model.task.kept.any())


def _memory_after_a_training_pass() -> Tensor:
    """Of a worker whose memory is not that of the others."""
    model = _model()
    wrapped = replicated(model, _images())
    model.task.memory.fill_(torch.distributed.get_rank())
    wrapped(views_of(model, _images()))
    return model.task.memory.clone()


def test_workers_do_not_send_each_other_the_memory_in_every_step(tmp_path: Path) -> None:
    found = on_workers(2, tmp_path, _memory_after_a_training_pass)
    assert [float(memory.mean()) for memory in found] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("temperature", 0.0, "a number above 0"),
        ("projection_dim", 0, "at least 1"),
        ("memory_momentum", 1.0, "0 to below 1"),
        ("proximal", -1.0, "a number from 0 on"),
        ("proximal", math.inf, "a number from 0 on"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        InstanceDiscriminationOptions(**{field: value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"


def test_a_run_of_the_recommended_recipe_continues_bit_for_bit(
    config: RunConfig, problem: Problem, tmp_path: Path
) -> None:
    settings = {
        "pretext": "instance_discrimination", "meta_loss": "pretext", "direction_parameters": "head",
        "target_statistics": "source", "relative_derivatives": True, "target_margin": 0.06, "weighter": "counts",
        "weighted_loss": False, "direction_momentum": 0.9, "measure": "pretext_loss", "crop_size": 8,
    }  # fmt: skip
    whole = Trainer(config.replace(**settings, epochs=2, run_dir=str(tmp_path / "whole")), problem=problem)
    reports = list(whole.epochs())
    assert all(math.isfinite(report.validation_score) for report in reports)
    task = whole.learner.model.task
    assert isinstance(task, InstanceDiscrimination)
    assert task.memory.shape == (len(problem.source), 128)
    parts = config.replace(**settings, epochs=2, run_dir=str(tmp_path / "parts"))
    next(iter(Trainer(parts, problem=problem).epochs()))
    again = Trainer(parts.replace(resume=True), problem=problem)
    list(again.epochs())
    assert torch.equal(again.learner.model.task.memory, task.memory)


def test_the_memory_is_the_same_where_a_batch_passes_in_parts(
    config: RunConfig, problem: Problem, tmp_path: Path
) -> None:
    settings = {"pretext": "instance_discrimination", "norm": "group", "crop_size": 8, "epochs": 1, "prune": False}

    def memory(accumulate: int) -> Tensor:
        run = config.replace(**settings, accumulate=accumulate, run_dir=str(tmp_path / f"{accumulate}"))
        trainer = Trainer(run, problem=problem)
        list(trainer.epochs())
        found: Tensor = trainer.learner.model.task.memory
        return found

    torch.testing.assert_close(memory(3), memory(1), rtol=1e-4, atol=1e-5)
