"""What holds for every pretext task, those of the registry and two that interact, in float64."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bdw import pretext
from bdw.data.batches import local_part
from bdw.encoders import Encoder, untouched_statistics
from bdw.errors import InputError
from bdw.meta_gradient import reference_weight_gradient
from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness
from bdw.pretext import Outputs, PretextModel, PretextTask, Views
from bdw.training.data_parallel import replicated
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.gradient.estimators import ForwardMode, Head, NaturalHead, TrainingPass, choose
from bdw.weighting.step import Learner, SourceBatch, train_step, weighted_update
from bdw.weighting.weighters.fixed import FixedWeights
from bdw.weighting.weighters.protocol import Learns, WeightSample
from tests.pretext.interacting_tasks import Contrastive, RedundancyReduction
from tests.pretext.models import model_of, not_augmented, views_of
from tests.workers import on_workers

K, SIDE, LEARNING_RATE, MOMENTUM, DECAY = 7, 6, 0.05, 0.9, 1e-2
TASKS: dict[str, type[PretextTask]] = {
    **{name: pretext.task_class(name) for name in pretext.available()},
    "contrastive": Contrastive,
    "redundancy reduction": RedundancyReduction,
}
NORMS = {"group": functools.partial(nn.GroupNorm, 2, 4), "batch": functools.partial(nn.BatchNorm2d, 4)}
every_task = pytest.mark.parametrize("task", TASKS)
every_norm = pytest.mark.parametrize("norm", NORMS)


def _model(task: str, norm: str = "group") -> PretextModel:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), NORMS[norm](), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5))
    return model_of(Encoder(backbone, 1, 5, (1, SIDE, SIDE)), TASKS[task]).double().train()


def _images(count: int = K) -> Tensor:
    return torch.rand(count, 1, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1


class _PretextLoss:
    """Of fixed target images, noise included."""

    images_per_batch = 5

    def draw(self, randomness: Randomness) -> Tensor:
        return -_images(5)

    def __call__(self, model: PretextModel, batch: Tensor) -> Tensor:
        return model.task.loss(model(views_of(model, batch, seed=5)), torch.ones(5), 5).total


class _Recorder(FixedWeights):
    """Hands out fixed weights and keeps the gradient that it is told."""

    learns = Learns.AFTER_UPDATE

    def __init__(self) -> None:
        super().__init__(np.linspace(0.2, 1.5, K))
        self.weights = torch.linspace(0.2, 1.5, K, dtype=torch.float64)
        self.gradient = torch.empty(0)

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        return WeightSample(indices, self.weights[indices])

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        self.gradient = gradient


def _learner(model: PretextModel, **estimator: Any) -> tuple[Learner, _Recorder]:
    weighter = _Recorder()
    optimiser = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=DECAY)
    alignment = Alignment(_PretextLoss(), choose(model, **estimator))
    return Learner(model, model, optimiser, weighter, alignment, Randomness(0), not_augmented), weighter


def _batch() -> SourceBatch:
    return SourceBatch(torch.arange(K), _images(), K)


@every_norm
@every_task
def test_weights_learn_from_the_exact_meta_gradient(task: str, norm: str) -> None:
    """Double backward through the second step, from a copy of everything as it was before it."""
    model = _model(task, norm)
    learner, weighter = _learner(model)
    train_step(learner, _batch())
    twin = copy.deepcopy(model)
    momentum = [copy.deepcopy(learner.optimiser.state[p]["momentum_buffer"]) for p in model.parameters()]
    randomness = Randomness(0)
    randomness.load_state_dict(learner.randomness.state_dict())
    views = twin.task.views(_images(), lambda images: images, randomness["views"])
    train_step(learner, _batch())

    class At:
        """The twin with other parameters."""

        task = twin.task

        def __init__(self, params: dict[str, Tensor]):
            self._params = params

        def __call__(self, views: Views) -> Outputs:
            outputs: Outputs = functional_call(twin, self._params, (views,))
            return outputs

    meta_loss = _PretextLoss()
    with untouched_statistics(twin):
        expected = reference_weight_gradient(
            lambda params: At(params)(views),
            lambda params: meta_loss(At(params), meta_loss.draw(randomness)),  # type: ignore[arg-type]
            dict(twin.named_parameters()),
            weighter.weights,
            learning_rate=LEARNING_RATE,
            momentum=MOMENTUM,
            weight_decay=DECAY,
            momentum_buffers=dict(zip(dict(twin.named_parameters()), momentum, strict=True)),
            loss=lambda outputs, weights: twin.task.loss(outputs, weights, K).total,
        )
    assert float((weighter.gradient - expected).norm() / expected.norm()) <= 1e-10


def _slow(model: PretextModel, views: Views, weights: Tensor, direction: dict[str, Tensor]) -> Tensor:
    """k d/dw <v, grad L> by two backward passes."""
    weights = weights.clone().requires_grad_()
    with untouched_statistics(model):
        total = model.task.loss(model(views), weights, K).total
    parameters = [dict(model.named_parameters())[name] for name in direction]
    gradients = torch.autograd.grad(total, parameters, create_graph=True)
    product = sum(((v * g).sum() for v, g in zip(direction.values(), gradients, strict=True)), torch.zeros(()))
    return K * torch.autograd.grad(product, weights)[0]


@every_norm
@every_task
@pytest.mark.parametrize("wanted", ["cheapest", "forward_mode", "training_pass", "head"])
def test_every_estimator_is_exact_or_refuses(task: str, norm: str, wanted: Any) -> None:
    model = _model(task, norm)
    interacts = TASKS[task].instances_interact or norm == "batch"
    if wanted == "training_pass" and interacts:
        with pytest.raises(InputError, match="estimator: 'training_pass' cannot work with "):
            choose(model, wanted)
        return
    estimator, views = choose(model, wanted), views_of(model, _images())
    weights = torch.linspace(0.2, 1.5, K, dtype=torch.float64)
    torch.manual_seed(2)
    direction = {name: torch.randn_like(value) for name, value in estimator.compared.items()}
    expected = _slow(model, views, weights, direction)
    learner, _ = _learner(model)
    with estimator.watch(views, weights, K) as of_instances:
        outputs, _ = weighted_update(learner, views, weights, K)
    found = of_instances(direction, outputs)
    assert float((found - expected).norm() / expected.norm()) <= 1e-10


@pytest.mark.parametrize(
    ("estimator", "task", "norm", "why"),
    [
        (TrainingPass, "contrastive", "group", "whose instances interact"),
        (TrainingPass, "redundancy reduction", "group", "whose instances interact"),
        (TrainingPass, "rotation", "batch", "where batch norm lets instances depend on each other"),
        (NaturalHead, "contrastive", "group", "whose instances interact"),
        (NaturalHead, "vae", "group", "whose head is not linear"),
    ],
)
def test_what_would_not_be_exact_is_refused_in_one_line(estimator: Any, task: str, norm: str, why: str) -> None:
    said = f"estimator: '{estimator.name}' cannot work with pretext '{TASKS[task].__name__}', {why}; allowed: "
    with pytest.raises(InputError) as error:
        estimator(_model(task, norm))
    assert str(error.value) == said + "'forward_mode'"


def test_another_loss_than_a_mean_is_refused_even_if_instances_do_not_interact(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model("rotation")
    monkeypatch.setattr(TASKS["rotation"], "loss_is_mean", False)
    for estimator in (TrainingPass, NaturalHead):
        with pytest.raises(InputError, match="whose loss is not a mean over instances"):
            estimator(model)
    assert isinstance(choose(model), ForwardMode)
    assert isinstance(choose(model, "head"), Head), "never from the training pass"


@every_task
def test_views_are_drawn_once_and_from_the_generator(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(task)
    first, again = (views_of(model, _images(), seed=3) for _ in range(2))
    assert torch.equal(first.images, again.images)
    assert all(torch.equal(a, b) for a, b in zip(first.inputs, again.inputs, strict=True))
    assert all(len(rows) % K == 0 for rows in first.inputs)
    calls = []
    draw = model.task.views
    monkeypatch.setattr(model.task, "views", lambda *args: calls.append(1) or draw(*args))
    learner, _ = _learner(model)
    assert learner.alignment is not None
    monkeypatch.setattr(_PretextLoss, "__call__", lambda self, model, batch: model.encoder(batch).square().sum())
    train_step(learner, _batch())
    assert len(calls) == 1


@every_task
def test_a_permutation_of_the_batch_permutes_the_derivatives(task: str) -> None:
    model, order = _model(task), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    views, weights = views_of(model, _images()), torch.linspace(0.2, 1.5, K, dtype=torch.float64)
    theta = dict(model.named_parameters())
    torch.manual_seed(2)
    direction = {name: torch.randn_like(value) for name, value in theta.items()}
    permuted = Views(
        views.images[order], tuple(rows.unflatten(0, (K, -1))[order].flatten(0, 1) for rows in views.inputs)
    )
    tangents = ForwardMode(model).derivatives
    found = tangents(permuted, weights[order], K, theta, direction)
    torch.testing.assert_close(found, tangents(views, weights, K, theta, direction)[order], rtol=1e-10, atol=1e-12)


@every_norm
@every_task
def test_a_restored_model_goes_on_bit_for_bit(task: str, norm: str) -> None:
    whole, parts = _learner(_model(task, norm))[0], _learner(_model(task, norm))[0]
    for _ in range(2):
        train_step(whole, _batch())
    states = copy.deepcopy([part.state_dict() for part in (whole.model, whole.optimiser, whole.randomness)])
    for part, state in zip((parts.model, parts.optimiser, parts.randomness), states, strict=True):
        part.load_state_dict(state)
    for _ in range(2):
        seen, again = train_step(whole, _batch()), train_step(parts, _batch())
        assert torch.equal(seen.derivatives, again.derivatives)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, parts.model.state_dict()[name]), name


def test_buffers_of_a_task_move_after_a_step_and_are_in_its_state() -> None:
    model = _model("contrastive")
    train_step(_learner(model)[0], _batch())
    assert float(model.state_dict()["task.centre"].abs().min()) > 0


def _two_steps(task: str) -> dict[str, Tensor]:
    """Derivatives of two steps, and the model after them; the workers deal the views out."""
    model = _model(task)
    wrapped = replicated(model, _images(2))
    learner, _ = _learner(model)
    learner = Learner(model, wrapped, learner.optimiser, learner.weighter, None, learner.randomness, not_augmented)
    weights, mine = torch.linspace(0.2, 1.5, K, dtype=torch.float64), slice(None)
    rows = local_part(torch.arange(K), collectives.rank(), collectives.size())
    mine = slice(int(rows[0]), int(rows[-1]) + 1)
    torch.manual_seed(2)
    direction = {name: torch.randn_like(value) for name, value in model.named_parameters()}
    found = {}
    for step in range(2):
        whole = views_of(model, _images(), seed=step)
        views = Views(
            whole.images[mine], tuple(part.unflatten(0, (K, -1))[mine].flatten(0, 1) for part in whole.inputs)
        )
        with choose(model).watch(views, weights[mine], K) as of_instances:
            outputs, _ = weighted_update(learner, views, weights[mine], K)
        found[f"derivatives {step}"] = collectives.gather_rows(of_instances(direction, outputs))
        model.task.after_step(outputs, 0.5)
    return {**found, **{name: value.clone() for name, value in model.state_dict().items()}}


@every_task
def test_two_workers_equal_one(task: str, tmp_path: Path) -> None:
    expected = _two_steps(task)
    for result in on_workers(2, tmp_path / "results", _two_steps, task):
        for name, value in expected.items():
            torch.testing.assert_close(result[name], value, rtol=1e-9, atol=1e-12)


@every_task
def test_features_do_not_collapse(task: str) -> None:
    """Forty images of two kinds: the loss falls, and features keep more than one direction."""
    model = _model(task)
    images = _images(40)
    images[::2] += torch.linspace(-1, 1, SIDE)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    totals = []
    for step in range(60):
        outputs = model(views_of(model, images, seed=step))
        total = model.task.loss(outputs, torch.ones(40), 40).total
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        model.task.after_step(outputs._replace(z=tuple(part.detach() for part in outputs.z)), step / 60)
        totals.append(float(total.detach()))
    assert np.mean(totals[-10:]) < np.mean(totals[:10])
    spectrum = torch.linalg.svdvals(outputs.features - outputs.features.mean(dim=0))
    assert float(spectrum[1] / spectrum[0]) > 0.05
