"""What holds for every pretext task, those of the registry and two for tests only (`cases`), in float64."""

from __future__ import annotations

import copy
import dataclasses
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from bdw.data.batches import local_part
from bdw.encoders import untouched_statistics
from bdw.errors import InputError
from bdw.evaluation import pretext_loss
from bdw.evaluation.features import Settings
from bdw.meta_gradient import reference_weight_gradient
from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness
from bdw.pretext import Images, Outputs, PretextModel, Views
from bdw.training.data_parallel import replicated
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.gradient.estimators import ForwardMode, Head, NaturalHead, TrainingPass, choose
from bdw.weighting.step import Learner, SourceBatch, train_step, weighted_update
from bdw.weighting.weighters.fixed import FixedWeights
from bdw.weighting.weighters.protocol import Learns, WeightSample
from tests.pretext.cases import CASES, NORMS
from tests.pretext.models import as_stored, not_augmented, views_of
from tests.workers import on_workers

K, LEARNING_RATE, MOMENTUM, DECAY = 7, 0.05, 0.9, 1e-2
every_task = pytest.mark.parametrize("task", CASES)
every_norm = pytest.mark.parametrize("norm", NORMS)
INTERACTING = [name for name, case in CASES.items() if case.task.instances_interact]


def _model(task: str, norm: str = "group") -> PretextModel:
    return CASES[task].model(norm)


def _images(task: str, count: int = K) -> Tensor:
    return CASES[task].images(count)


def _twice_differentiable() -> AbstractContextManager[None]:
    """Attention by its formula: the fused kernels have no second derivative."""
    return sdpa_kernel(SDPBackend.MATH)


def _trained(model: PretextModel) -> dict[str, Tensor]:
    """The parameters that training moves: a teacher's are not among them."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


class _PretextLoss:
    """Of fixed target images, noise included."""

    images_per_batch = 5

    def __init__(self, task: str):
        self._task = task

    def draw(self, randomness: Randomness) -> Tensor:
        return 255 - _images(self._task, 5)

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


def _learner(task: str, model: PretextModel, **estimator: Any) -> tuple[Learner, _Recorder]:
    weighter = _Recorder()
    optimiser = torch.optim.SGD(_trained(model).values(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=DECAY)
    alignment = Alignment(_PretextLoss(task), choose(model, **estimator))
    return Learner(model, model, optimiser, weighter, alignment, Randomness(0), not_augmented), weighter


def _batch(task: str) -> SourceBatch:
    return SourceBatch(torch.arange(K), _images(task), K)


@every_norm
@every_task
def test_weights_learn_from_the_exact_meta_gradient(task: str, norm: str) -> None:
    """Double backward through the second step, from a copy of everything as it was before it."""
    model = _model(task, norm)
    learner, weighter = _learner(task, model)
    train_step(learner, _batch(task))
    twin = copy.deepcopy(model)
    momentum = [copy.deepcopy(learner.optimiser.state[p]["momentum_buffer"]) for p in _trained(model).values()]
    randomness = Randomness(0)
    randomness.load_state_dict(learner.randomness.state_dict())
    views = twin.task.views(_images(task), as_stored, randomness["views"])._replace(instances=torch.arange(K))
    train_step(learner, _batch(task))

    class At:
        """The twin with other parameters."""

        task = twin.task

        def __init__(self, params: dict[str, Tensor]):
            self._params = params

        def __call__(self, views: Views) -> Outputs:
            return cast(Outputs, functional_call(twin, self._params, (views,)))

    meta_loss = _PretextLoss(task)
    with untouched_statistics(twin), _twice_differentiable():
        expected = reference_weight_gradient(
            lambda params: At(params)(views),
            lambda params: meta_loss(At(params), meta_loss.draw(randomness)),  # type: ignore[arg-type]
            _trained(twin),
            weighter.weights,
            learning_rate=LEARNING_RATE,
            momentum=MOMENTUM,
            weight_decay=DECAY,
            momentum_buffers=dict(zip(_trained(twin), momentum, strict=True)),
            loss=lambda outputs, weights: twin.task.loss(outputs, weights, K).total,
        )
    assert float((weighter.gradient - expected).norm() / expected.norm()) <= 1e-10


def _some(views: Views, which: slice | Tensor) -> Views:
    """Those of some of K instances, in that order."""
    assert views.instances is not None
    inputs = tuple(rows.unflatten(0, (K, -1))[which].flatten(0, 1) for rows in views.inputs)
    return Views(views.images[which], inputs, views.instances[which])


def _slow(model: PretextModel, views: Views, weights: Tensor, direction: dict[str, Tensor]) -> Tensor:
    """k d/dw <v, grad L> by two backward passes."""
    weights = weights.clone().requires_grad_()
    with untouched_statistics(model), _twice_differentiable():
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
    interacts = CASES[task].task.instances_interact or norm == "batch"
    if wanted == "training_pass" and (interacts or not CASES[task].known_layers):
        with pytest.raises(InputError, match="estimator: 'training_pass' cannot work with "):
            choose(model, wanted)
        return
    estimator, views = choose(model, wanted), views_of(model, _images(task), of_source=True)
    weights = torch.linspace(0.2, 1.5, K, dtype=torch.float64)
    torch.manual_seed(2)
    direction = {name: torch.randn_like(value) for name, value in estimator.compared.items()}
    expected = _slow(model, views, weights, direction)
    learner, _ = _learner(task, model)
    with estimator.watch(views, weights, K) as of_instances:
        outputs, _ = weighted_update(learner, views, weights, K)
    found = of_instances(direction, outputs)
    assert float((found - expected).norm() / expected.norm()) <= 1e-10


@pytest.mark.parametrize(
    ("estimator", "task", "norm", "why"),
    [
        (TrainingPass, "simclr", "group", "whose instances interact"),
        (TrainingPass, "redundancy reduction", "group", "whose instances interact"),
        (TrainingPass, "rotation", "batch", "where batch norm lets instances depend on each other"),
        (NaturalHead, "simclr", "group", "whose instances interact"),
        (NaturalHead, "vae", "group", "whose head is not linear"),
    ],
)
def test_what_would_not_be_exact_is_refused_in_one_line(estimator: Any, task: str, norm: str, why: str) -> None:
    said = f"estimator: '{estimator.name}' cannot work with pretext '{CASES[task].task.__name__}', {why}; allowed: "
    with pytest.raises(InputError) as error:
        estimator(_model(task, norm))
    assert str(error.value) == said + "'forward_mode'"


def test_another_loss_than_a_mean_is_refused_even_if_instances_do_not_interact(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model("rotation")
    monkeypatch.setattr(CASES["rotation"].task, "loss_is_mean", False)
    for estimator in (TrainingPass, NaturalHead):
        with pytest.raises(InputError, match="whose loss is not a mean over instances"):
            estimator(model)
    assert isinstance(choose(model), ForwardMode)
    assert isinstance(choose(model, "head"), Head), "never from the training pass"


@every_task
def test_views_are_drawn_once_and_from_the_generator(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(task)
    first, again = (views_of(model, _images(task), seed=3) for _ in range(2))
    assert torch.equal(first.images, again.images)
    assert all(torch.equal(a, b) for a, b in zip(first.inputs, again.inputs, strict=True))
    assert all(len(rows) % K == 0 for rows in first.inputs)
    calls = []
    draw = model.task.views
    monkeypatch.setattr(model.task, "views", lambda *args: calls.append(1) or draw(*args))
    learner, _ = _learner(task, model)
    assert learner.alignment is not None
    monkeypatch.setattr(
        _PretextLoss, "__call__", lambda self, model, batch: model.encoder(as_stored(batch)).square().sum()
    )
    train_step(learner, _batch(task))
    assert len(calls) == 1


@every_task
def test_a_permutation_of_the_batch_permutes_the_derivatives(task: str) -> None:
    model, order = _model(task), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    views = views_of(model, _images(task), of_source=True)
    weights = torch.linspace(0.2, 1.5, K, dtype=torch.float64)
    theta = _trained(model)
    torch.manual_seed(2)
    direction = {name: torch.randn_like(value) for name, value in theta.items()}
    permuted = _some(views, order)
    tangents = ForwardMode(model).derivatives
    found = tangents(permuted, weights[order], K, theta, direction)
    torch.testing.assert_close(found, tangents(views, weights, K, theta, direction)[order], rtol=1e-10, atol=1e-12)


@every_norm
@every_task
def test_a_restored_model_goes_on_bit_for_bit(task: str, norm: str) -> None:
    whole, parts = _learner(task, _model(task, norm))[0], _learner(task, _model(task, norm))[0]
    for _ in range(2):
        train_step(whole, _batch(task))
    states = copy.deepcopy([part.state_dict() for part in (whole.model, whole.optimiser, whole.randomness)])
    for part, state in zip((parts.model, parts.optimiser, parts.randomness), states, strict=True):
        part.load_state_dict(state)
    for _ in range(2):
        seen, again = train_step(whole, _batch(task)), train_step(parts, _batch(task))
        assert torch.equal(seen.derivatives, again.derivatives)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, parts.model.state_dict()[name]), name


def test_centre_and_teacher_move_after_a_step_and_are_in_its_state() -> None:
    task = "taught"
    model = _model(task)
    before = copy.deepcopy(model.state_dict())
    train_step(_learner(task, model)[0], _batch(task))
    state = model.state_dict()
    assert float(state["task.centre"].abs().min()) > 0
    name = "backbone.0.weight"
    student, teacher, was = state[f"encoder.{name}"], state[f"task.teacher.copies.0.{name}"], before[f"encoder.{name}"]
    torch.testing.assert_close(teacher, 0.8 * was + 0.2 * student, rtol=1e-12, atol=1e-14)
    assert not torch.equal(teacher, student)


@pytest.mark.parametrize("task", ["taught", "dino"])
def test_a_teacher_looks_once_at_the_views_of_a_step(task: str) -> None:
    """At the source's and at the target's; the tangent pass sees the same constants."""
    model, calls = _model(task), []
    model.task.teacher.copies[0].register_forward_hook(lambda *_: calls.append(1))
    learner, _ = _learner(task, model)
    assert learner.alignment is not None
    assert isinstance(learner.alignment.estimator, ForwardMode)
    train_step(learner, _batch(task))
    assert len(calls) == 2


def _two_steps(task: str) -> dict[str, Tensor]:
    """Derivatives of two steps, and the model after them; the workers deal the views out."""
    model = _model(task)
    wrapped = replicated(model, _images(task, 2))
    learner, _ = _learner(task, model)
    learner = Learner(model, wrapped, learner.optimiser, learner.weighter, None, learner.randomness, not_augmented)
    weights, mine = torch.linspace(0.2, 1.5, K, dtype=torch.float64), slice(None)
    rows = local_part(torch.arange(K), collectives.rank(), collectives.size())
    mine = slice(int(rows[0]), int(rows[-1]) + 1)
    torch.manual_seed(2)
    direction = {name: torch.randn_like(value) for name, value in _trained(model).items()}
    found = {}
    for step in range(2):
        views = _some(views_of(model, _images(task), seed=step, of_source=True), mine)
        with choose(model).watch(views, weights[mine], K) as of_instances:
            outputs, _ = weighted_update(learner, views, weights[mine], K)
        found[f"derivatives {step}"] = collectives.gather_rows(of_instances(direction, outputs))
        model.task.after_step(model.encoder, outputs, 0.5)
    return {**found, **{name: value.clone() for name, value in model.state_dict().items()}}


def _of_each(function: Callable[[str], Any], tasks: Sequence[str]) -> dict[str, Any]:
    """What the function gives for each task, or `{"error": ...}`."""
    found: dict[str, Any] = {}
    for task in tasks:
        try:
            found[task] = function(task)
        except Exception:
            found[task] = {"error": traceback.format_exc()}
    return found


@pytest.fixture(scope="module")
def steps_of_two_workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """`_two_steps` of every task by one pair of workers, since starting a pair takes longer than the steps."""
    return on_workers(2, tmp_path_factory.mktemp("steps"), _of_each, _two_steps, tuple(CASES))


@every_task
def test_two_workers_equal_one(task: str, steps_of_two_workers: list[dict[str, Any]]) -> None:
    expected = _two_steps(task)
    for result in steps_of_two_workers:
        assert "error" not in result[task], result[task]["error"]
        for name, value in expected.items():
            torch.testing.assert_close(result[task][name], value, rtol=1e-9, atol=1e-12)


@every_task
def test_features_do_not_collapse(task: str) -> None:
    """Forty images of two kinds: features keep their spread and more than one direction, and the loss falls."""
    model = _model(task)
    images = _images(task, 40) // 2
    ramp = torch.linspace(0, 127, images.shape[-1]).to(torch.uint8)
    if CASES[task].tinted:
        images[::2, 0] += ramp
        images[1::2, 2] += ramp.flip(0)
    else:
        images[::2] += ramp
    model.task.begin_epoch(model.encoder, [(torch.arange(40), images)])
    optimiser = torch.optim.SGD(_trained(model).values(), lr=0.01, momentum=0.9)
    totals, spreads = [], []
    for step in range(60):
        outputs = model(views_of(model, images, seed=step, of_source=True))
        total = model.task.loss(outputs, torch.ones(40), 40).total
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        model.task.after_step(model.encoder, outputs._replace(z=tuple(part.detach() for part in outputs.z)), step / 60)
        totals.append(float(total.detach()))
        spreads.append(float(outputs.features.std(dim=0).norm() / outputs.features.norm(dim=1).mean()))
    assert np.mean(totals[-10:]) < np.mean(totals[:10]) or not CASES[task].loss_falls
    assert spreads[-1] > 0.3 * spreads[0]
    spectrum = torch.linalg.svdvals(outputs.features - outputs.features.mean(dim=0))
    assert float(spectrum[1] / spectrum[0]) > 0.05


def _evaluated_by_the_first(task: str) -> float | None:
    """The pretext loss as rank 0 measures it while the others wait for what it found."""
    model, images = _model(task).float(), _images(task).numpy()
    settings = Settings(crop_size=images.shape[-1], batch_size=5)
    measured = collectives.on_first(lambda: pretext_loss.evaluate(model, images, settings))
    return collectives.from_first(measured)


@pytest.fixture(scope="module")
def evaluations_by_two_workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """`_evaluated_by_the_first` of every task whose instances interact, by one pair of workers."""
    return on_workers(2, tmp_path_factory.mktemp("measures"), _of_each, _evaluated_by_the_first, tuple(INTERACTING))


@pytest.mark.parametrize("task", INTERACTING)
def test_one_of_two_workers_evaluates_alone(task: str, evaluations_by_two_workers: list[dict[str, Any]]) -> None:
    expected = _evaluated_by_the_first(task)
    assert [result[task] for result in evaluations_by_two_workers] == [expected] * 2


@every_task
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [4, 12])
def test_images_of_any_kind_are_learnt_from_or_refused_in_one_line(task: str, channels: int, side: int) -> None:
    """Where the task, its encoder or `check` refuses, it says what is allowed; otherwise there is a finite loss."""
    case = dataclasses.replace(CASES[task], channels=channels, side=side)
    refused = ""
    try:
        model = case.model()
        model.task.check(Images(channels, side, side))
    except InputError as error:
        refused = str(error)
    if refused:
        assert "; allowed: " in refused
        assert "\n" not in refused
        return
    losses = model.losses(views_of(model, case.images(K)))
    assert losses.isfinite().tolist() == [True] * K
