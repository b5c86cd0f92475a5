"""Several tasks at once: their losses and gradients are those of each alone, and options of the parts have dotted
names."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from bdw import pretext
from bdw.config import RunConfig
from bdw.config.identity import settings
from bdw.config.pretext import options_of
from bdw.config.pretext_options.auto_encoder import AutoEncoderOptions
from bdw.config.pretext_options.dino import DINOOptions
from bdw.config.pretext_options.moco import MoCoV2Options
from bdw.config.pretext_options.simclr import SimCLROptions
from bdw.data import Problem
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.pretext import Images, Outputs, PretextModel
from bdw.pretext.rotation import Rotation
from bdw.pretext.vae import VariationalAutoEncoder
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import ForwardMode, Head, TrainingPass, choose
from tests.pretext.cases import CASES, THREE, small_encoder
from tests.pretext.models import as_stored, views_of

FACTORS = dict(zip(THREE.tasks, THREE.task_weights, strict=True))


def _options(*tasks: str, **values: Any) -> Any:
    return options_of("multitask")(tasks=tasks, **values)


def _model(options: Any, side: int = 12) -> PretextModel:
    torch.manual_seed(0)
    encoder = small_encoder(3, side, "group")
    task = pretext.build("multitask", encoder, options)
    task.keep(torch.ones(40, dtype=torch.bool))
    return PretextModel(encoder, task).double().train()


def _parts_alone(model: PretextModel, images: Tensor) -> dict[str, Outputs]:
    """What each task makes by itself of the views that it drew, in its turn, from one generator."""
    generator, found = torch.Generator().manual_seed(0), {}
    for name, part in model.task.parts.items():
        alone = PretextModel(model.encoder, part)
        found[name] = alone(part.views(images, as_stored, generator))
    return found


def test_losses_are_those_of_the_tasks_alone_times_their_weights() -> None:
    model, images = CASES["multitask"].model(), CASES["multitask"].images(5)
    outputs = model(views_of(model, images))
    alone = {name: model.task.parts[name].losses(own) for name, own in _parts_alone(model, images).items()}
    torch.testing.assert_close(model.task.task_losses(outputs), torch.stack(list(alone.values()), 1), rtol=0, atol=0)
    expected = sum((FACTORS[name] * losses for name, losses in alone.items()), torch.zeros(()))
    torch.testing.assert_close(model.task.losses(outputs), expected, rtol=1e-12, atol=1e-12)
    weights = torch.linspace(0.2, 1.5, 5, dtype=torch.float64)
    total, losses = model.task.loss(outputs, weights, 5)
    torch.testing.assert_close(total, (weights * expected).mean(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)


def test_every_image_may_have_a_weight_for_every_task() -> None:
    model, images = CASES["multitask"].model(), CASES["multitask"].images(5)
    outputs = model(views_of(model, images))
    weights = torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    expected = (weights * model.task.task_losses(outputs) * torch.tensor(THREE.task_weights).double()).sum() / 5
    torch.testing.assert_close(model.task.loss(outputs, weights, 5).total, expected, rtol=1e-7, atol=0)


def test_features_and_hits_are_those_of_all_tasks() -> None:
    model, images = CASES["multitask"].model(), CASES["multitask"].images(5)
    outputs, alone = model(views_of(model, images)), _parts_alone(model, images)
    assert outputs.features.shape == (5 * (5 + 4 + 1), 5)
    rows = torch.cat([own.features.unflatten(0, (5, -1)) for own in alone.values()], dim=1).flatten(0, 1)
    torch.testing.assert_close(outputs.features, rows, rtol=0, atol=0)
    torch.testing.assert_close(outputs.hits, alone["rotation"].hits, rtol=0, atol=0)


def test_what_holds_of_the_sum_follows_from_its_tasks() -> None:
    def said(*tasks: str) -> tuple[int, bool, bool]:
        found = pretext.task_class("multitask", _options(*tasks))
        return found.num_views, found.instances_interact, found.loss_is_mean

    assert said("rotation", "vae") == (5, False, True)
    assert said("rotation", "simclr", "counting") == (11, True, True)


def test_without_interaction_the_training_pass_is_exact() -> None:
    options = _options("rotation", "vae", vae=AutoEncoderOptions(latent_size=2, decoder_width=4), task_weights=(1, 0.1))
    model = _model(options)
    views, weights = views_of(model, CASES["multitask"].images(6)), torch.linspace(0.2, 1.5, 6).double()
    estimator = choose(model)
    assert isinstance(estimator, TrainingPass)
    torch.manual_seed(2)
    direction = {name: torch.randn_like(value) for name, value in estimator.compared.items()}
    theta = {name: value.detach() for name, value in model.named_parameters()}
    with estimator.watch(views, weights, 6) as derivatives:
        outputs = model(views)
        model.task.loss(outputs, weights, 6).total.backward()
    expected = ForwardMode(model).derivatives(views, weights, 6, theta, direction)
    torch.testing.assert_close(derivatives(direction, outputs), expected, rtol=1e-10, atol=1e-12)


def test_the_head_alone_knows_the_features_of_views_of_several_sizes() -> None:
    small = DINOOptions(projection_dim=4, hidden_dim=6, prototypes=9, local_crops=3)
    model = _model(_options("rotation", "dino", "vae", dino=small))
    views, weights = views_of(model, CASES["multitask"].images(6)), torch.linspace(0.2, 1.5, 6).double()
    estimator = choose(model, "head")
    torch.manual_seed(2)
    direction = {name: torch.randn_like(value) for name, value in estimator.compared.items()}
    theta = {name: value.detach() for name, value in model.named_parameters() if name in direction}
    with estimator.watch(views, weights, 6) as derivatives:
        outputs = model(views)
        model.task.loss(outputs, weights, 6).total.backward()
    assert outputs.features.shape == (6 * (4 + 2 + 3 + 1), 5)
    expected = ForwardMode(model, head_alone=True).derivatives(views, weights, 6, theta, direction)
    torch.testing.assert_close(derivatives(direction, outputs), expected, rtol=1e-10, atol=1e-12)
    model.task.after_step(model.encoder, outputs, 0.5)


def test_a_task_whose_loss_is_no_mean_makes_a_sum_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VariationalAutoEncoder, "loss_is_mean", False)
    assert not pretext.task_class("multitask", _options("rotation", "vae")).loss_is_mean
    model = _model(_options("rotation", "vae"))
    assert isinstance(choose(model), ForwardMode)
    with pytest.raises(InputError, match="whose loss is not a mean over instances"):
        TrainingPass(model)


def test_queues_and_teachers_of_the_tasks_move_as_alone() -> None:
    moco = MoCoV2Options(projection_dim=4, hidden_dim=6, queue=10)
    model = _model(_options("rotation", "moco_v2", moco_v2=moco))
    images, part = CASES["multitask"].images(5), model.task.parts["moco_v2"]
    twin, before = copy.deepcopy(PretextModel(model.encoder, part)), copy.deepcopy(part.state_dict())
    outputs = model(views_of(model, images))
    generator = torch.Generator().manual_seed(0)
    model.task.parts["rotation"].views(images, as_stored, generator)
    alone = twin(twin.task.views(images, as_stored, generator))
    with torch.no_grad():
        for each in (model, twin):
            next(each.encoder.parameters()).add_(0.1)
    model.task.after_step(model.encoder, outputs, 0.5)
    twin.task.after_step(twin.encoder, alone, 0.5)
    assert any(not torch.equal(value, before[name]) for name, value in part.state_dict().items())
    for name, value in twin.task.state_dict().items():
        assert torch.equal(value, part.state_dict()[name]), name


def test_every_task_that_prepares_an_epoch_sees_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[list[int]]] = {}

    def begin_epoch(self: Any, encoder: Encoder, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        seen[type(self).__name__] = [indices.tolist() for indices, _ in batches]

    monkeypatch.setattr(Rotation, "begin_epoch", begin_epoch)
    monkeypatch.setattr(VariationalAutoEncoder, "begin_epoch", begin_epoch)
    model = _model(_options("rotation", "simclr", "vae"))
    batches = [torch.tensor([0, 1]), torch.tensor([2])]
    model.task.begin_epoch(model.encoder, ((each, torch.zeros(len(each))) for each in batches))
    assert seen == {"Rotation": [[0, 1], [2]], "VariationalAutoEncoder": [[0, 1], [2]]}


def test_a_part_that_cannot_work_refuses_for_all() -> None:
    model = _model(_options("rotation", "jigsaw"))
    with pytest.raises(InputError, match="crop_size: 12 cannot work with pretext 'jigsaw'"):
        model.task.check(Images(3, 10, 10))
    with pytest.raises(InputError, match=r"pretext: 'rotatio' is not known \(did you mean 'rotation'\?\)"):
        pretext.task_class("multitask", _options("rotatio"))


def test_options_of_the_parts_have_dotted_names() -> None:
    given = {"pretext.tasks": ["rotation", "simclr"], "pretext.simclr.temperature": 0.2, "pretext.task_weights": [1, 2]}
    config = RunConfig().replace(pretext="multitask", **given)
    assert config.pretext.options.of("simclr") == SimCLROptions(temperature=0.2)
    assert config.pretext.options.of("rotation") is None
    assert settings(config) == {"pretext": "multitask", **given}
    assert RunConfig.from_earlier(config.flat()) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert config.replace(**{"pretext.simclr.flip": 0.0}).pretext.options.of("simclr").temperature == 0.2


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("tasks", [], "at least one task, each once, and none of them 'multitask'"),
        ("tasks", ["vae", "vae"], "at least one task, each once, and none of them 'multitask'"),
        ("tasks", ["multitask"], "at least one task, each once, and none of them 'multitask'"),
        ("task_weights", [1.0], "none, or a number above 0 for each of the 2 tasks"),
        ("task_weights", [1.0, 0.0], "none, or a number above 0 for each of the 2 tasks"),
        ("vae.latent_size", 3, "options of pretext.tasks, relative_location, exemplar"),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(InputError) as error:
        RunConfig().replace(pretext="multitask", **{f"pretext.{field}": value})
    assert str(error.value) == f"pretext.{field}: {value} cannot work; allowed: {allowed}"


@pytest.mark.parametrize("direction", ["all", "head"])
def test_it_trains_with_the_whole_model_or_the_heads(config: RunConfig, problem: Problem, direction: str) -> None:
    settings = {
        "pretext": "multitask", "pretext.tasks": ["rotation", "simclr", "exemplar"], "crop_size": 8, "epochs": 2,
        "meta_loss": "pretext", "direction_parameters": direction, "measure": "pretext_loss",
    }  # fmt: skip
    trainer = Trainer(config.replace(**settings), problem=problem)
    reports = list(trainer.epochs())
    assert all(math.isfinite(report.loss) and math.isfinite(report.meta_loss) for report in reports)
    assert isinstance(trainer.learner.alignment.estimator, Head if direction == "head" else ForwardMode)
