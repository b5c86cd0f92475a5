"""A weight for every instance and task: derivatives are exact, and an instance has views for its own tasks alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from bdw import pretext
from bdw.config.pretext import options_of
from bdw.config.pretext_options.auto_encoder import AutoEncoderOptions
from bdw.config.pretext_options.barlow_twins import BarlowTwinsOptions
from bdw.config.pretext_options.counting import CountingOptions
from bdw.config.pretext_options.moco import MoCoV2Options
from bdw.data.batches import local_part
from bdw.encoders import untouched_statistics
from bdw.meta_gradient import reference_weight_gradient
from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness
from bdw.pretext import Outputs, PretextModel, Views
from bdw.training.data_parallel import replicated
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.gradient.estimators import ForwardMode, Name, choose
from bdw.weighting.step import Learner, SourceBatch, train_step
from bdw.weighting.weighters.fixed import FixedWeights
from bdw.weighting.weighters.protocol import Learns, WeightSample
from tests.pretext.cases import small_encoder
from tests.pretext.models import as_stored, not_augmented, views_of
from tests.workers import on_workers

K, SIDE, LEARNING_RATE, MOMENTUM, DECAY = 7, 12, 0.05, 0.9, 1e-2
SMALL = {
    "counting": CountingOptions(count_dim=4, hidden_dim=6, grey=0.0),
    "vae": AutoEncoderOptions(latent_size=2, decoder_width=4),
    "barlow_twins": BarlowTwinsOptions(projection_dim=4, hidden_dim=6),
    "moco_v2": MoCoV2Options(projection_dim=4, hidden_dim=6, queue=5),
}
TASKS = {
    "means": (("counting", "rotation", "vae"), (1.0, 0.5, 0.02)),
    "one is no mean": (("barlow_twins", "rotation"), (0.3, 1.0)),
    "a teacher": (("rotation", "moco_v2"), (1.0, 2.0)),
}
NOTHING_DRAWN = "views without chance"
TASKS[NOTHING_DRAWN] = (("counting", "rotation"), (1.0, 0.5))
every_kind = pytest.mark.parametrize("kind", TASKS)
KEPT = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1]], dtype=torch.bool)
"""Who is kept for the first three tasks."""


def _model(kind: str, norm: str = "group", kept: Tensor | None = None) -> PretextModel:
    """In float64; told who is kept for its tasks, by default everyone."""
    tasks, factors = TASKS[kind]
    own = {name: SMALL[name] for name in tasks if name in SMALL}
    torch.manual_seed(0)
    encoder = small_encoder(3, SIDE, norm)
    task = pretext.build("multitask", encoder, options_of("multitask")(tasks=tasks, task_weights=factors, **own))
    everyone = torch.ones(K, len(tasks), dtype=torch.bool)
    task.keep(everyone)
    task.keep(everyone if kept is None else kept[:, : len(tasks)])
    return PretextModel(encoder, task).double().train()


def _images(count: int = K) -> Tensor:
    shape, generator = (count, 3, SIDE, SIDE), torch.Generator().manual_seed(1)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


def _weights(kind: str) -> Tensor:
    shape = (K, len(TASKS[kind][0]))
    return 0.2 + torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


class _PretextLoss:
    images_per_batch = 5

    def draw(self, randomness: Randomness) -> Tensor:
        return 255 - _images(5)

    def __call__(self, model: PretextModel, batch: Tensor) -> Tensor:
        return model.task.loss(model(views_of(model, batch, seed=5)), torch.ones(5), 5).total


class _Recorder(FixedWeights):
    """Hands out fixed weights of tasks and keeps the gradient that it is told."""

    learns = Learns.AFTER_UPDATE

    def __init__(self, weights: Tensor) -> None:
        super().__init__(np.ones(K))
        self.weights, self.gradient = weights, torch.empty(0)

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        return WeightSample(indices, self.weights[indices])

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        self.gradient = gradient


def _trained(model: PretextModel) -> dict[str, Tensor]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def _learner(model: PretextModel, kind: str, wanted: Name = "cheapest") -> tuple[Learner, _Recorder]:
    weighter = _Recorder(_weights(kind))
    optimiser = torch.optim.SGD(_trained(model).values(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=DECAY)
    alignment = Alignment(_PretextLoss(), choose(model, wanted, weights_of_tasks=True))
    return Learner(model, model, optimiser, weighter, alignment, Randomness(0), not_augmented), weighter


def _batch() -> SourceBatch:
    return SourceBatch(torch.arange(K), _images(), K)


@pytest.mark.parametrize("kept", [None, KEPT], ids=["all", "some"])
@pytest.mark.parametrize("norm", ["group", "batch"])
@every_kind
def test_all_columns_learn_from_the_exact_meta_gradient(kind: str, norm: str, kept: Tensor | None) -> None:
    """Double backward through the second step, from a copy of everything as it was before it."""
    model = _model(kind, norm, kept)
    learner, weighter = _learner(model, kind)
    train_step(learner, _batch())
    twin = copy.deepcopy(model)
    momentum = [copy.deepcopy(learner.optimiser.state[p]["momentum_buffer"]) for p in _trained(model).values()]
    randomness = Randomness(0)
    randomness.load_state_dict(learner.randomness.state_dict())
    views = twin.task.views_of_source(_images(), torch.arange(K), as_stored, randomness["views"])
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
            _trained(twin),
            weighter.weights,
            learning_rate=LEARNING_RATE,
            momentum=MOMENTUM,
            weight_decay=DECAY,
            momentum_buffers=dict(zip(_trained(twin), momentum, strict=True)),
            loss=lambda outputs, weights: twin.task.loss(outputs, weights, K).total,
        )
    assert weighter.gradient.shape == expected.shape == (K, len(TASKS[kind][0]))
    for column in range(expected.shape[1]):
        found, wanted = weighter.gradient[:, column], expected[:, column]
        assert float((found - wanted).norm() / wanted.norm()) <= 1e-10, TASKS[kind][0][column]
    if kept is not None:
        assert not weighter.gradient[~kept[:, : expected.shape[1]]].any(), "no views, no derivative"


@pytest.mark.parametrize("wanted", ["cheapest", "head"])
def test_columns_add_up_to_the_derivative_of_one_weight_for_all_tasks(wanted: Name) -> None:
    model = _model("means")
    views, weights = views_of(model, _images(), of_source=True), torch.linspace(0.2, 1.5, K, dtype=torch.float64)
    estimator = choose(model, wanted, weights_of_tasks=True)
    assert isinstance(estimator, ForwardMode)
    torch.manual_seed(2)
    direction = {name: torch.randn_like(value) for name, value in estimator.compared.items()}
    theta = {name: value.detach() for name, value in model.named_parameters()}
    tangents = ForwardMode(model).derivatives
    one = tangents(views, weights, K, theta, direction)
    columns = tangents(views, weights[:, None].expand(K, 3), K, theta, direction)
    torch.testing.assert_close(columns.sum(dim=1), one, rtol=1e-10, atol=1e-12)
    assert float(columns.abs().min()) > 0


@every_kind
def test_a_permutation_of_the_batch_permutes_the_derivatives(kind: str) -> None:
    model, order = _model(kind), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    views, weights = views_of(model, _images(), of_source=True), _weights(kind)
    inputs = tuple(rows.unflatten(0, (K, -1))[order].flatten(0, 1) for rows in views.inputs)
    assert views.instances is not None
    permuted = Views(views.images[order], inputs, views.instances[order])
    theta = _trained(model)
    torch.manual_seed(2)
    direction = {name: torch.randn_like(value) for name, value in theta.items()}
    tangents = ForwardMode(model).derivatives
    found = tangents(permuted, weights[order], K, theta, direction)
    torch.testing.assert_close(found, tangents(views, weights, K, theta, direction)[order], rtol=1e-10, atol=1e-12)


def test_views_are_made_for_kept_pairs_alone() -> None:
    model, seen = _model("means", kept=KEPT), []
    views = model.task.views_of_source(_images(), torch.arange(K), as_stored, torch.Generator().manual_seed(0))
    model.encoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    outputs = model(views)
    counts = KEPT.sum(dim=0).tolist()
    assert seen == [count * each for count, each in zip(counts, (5, 4, 1), strict=True)]
    assert outputs.features.shape == (K, 5)
    losses = model.task.task_losses(outputs)
    assert torch.equal(losses != 0, KEPT)


def test_a_pair_that_is_not_kept_is_one_of_weight_0() -> None:
    """Where instances do not interact, total and parameters' gradients are the same; 1/k counts all instances."""
    tasks = options_of("multitask")(tasks=("rotation", "vae"), task_weights=(1.0, 0.1), vae=SMALL["vae"])
    torch.manual_seed(0)
    encoder = small_encoder(3, SIDE, "group")
    model = PretextModel(encoder, pretext.build("multitask", encoder, tasks)).double()
    kept, weights = KEPT[:, :2], torch.rand(K, 2, dtype=torch.float64)
    drawn = model.task.views(_images(), as_stored, torch.Generator().manual_seed(0))
    found = []
    for views, own in ((drawn, weights * kept), (_shown_to(drawn, kept), weights)):
        model.zero_grad()
        loss = model.task.loss(model(views), own, K)
        loss.total.backward()
        found.append((loss.total.detach(), *(value.grad.clone() for value in model.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


def _shown_to(views: Views, kept: Tensor) -> Views:
    """The same views without those of pairs that are not kept: of rotation two inputs, of the auto-encoder the rest."""
    inputs = []
    for number, rows in enumerate(views.inputs):
        own = kept[:, 0 if number < 2 else 1]
        inputs.append(rows.unflatten(0, (K, -1))[own].flatten(0, 1) if len(rows) != K else rows[own])
    return Views(views.images, tuple(inputs), torch.arange(K), kept)


@pytest.mark.parametrize("nobody", [False, True])
def test_a_task_that_cannot_take_part_is_left_out_of_the_step(nobody: bool) -> None:
    """Counting compares instances, and one has nobody to be compared with."""
    kept = torch.zeros(K, 3, dtype=torch.bool)
    kept[2, 0] = True
    if not nobody:
        kept[:, 1] = True
    model = _model("means", kept=kept)
    learner, weighter = _learner(model, "means")
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    measured = train_step(learner, _batch())
    assert not weighter.gradient[:, [0, 2]].any()
    assert bool(weighter.gradient[:, 1].any()) != nobody
    assert bool(measured.losses.isfinite().all())
    left_out = [name for name in before if name.startswith("task.parts.counting")]
    left_out += list(before) if nobody else []
    for name in left_out:
        decayed = before[name] * (1 - LEARNING_RATE * DECAY)
        torch.testing.assert_close(dict(model.named_parameters())[name].detach(), decayed, rtol=1e-12, atol=1e-15)


@every_kind
def test_a_restored_model_goes_on_bit_for_bit(kind: str) -> None:
    whole, parts = (_learner(_model(kind, kept=KEPT), kind)[0] for _ in range(2))
    for _ in range(2):
        train_step(whole, _batch())
    states = copy.deepcopy([part.state_dict() for part in (whole.model, whole.optimiser, whole.randomness)])
    for part, state in zip((parts.model, parts.optimiser, parts.randomness), states, strict=True):
        part.load_state_dict(state)
    for _ in range(2):
        assert torch.equal(train_step(whole, _batch()).derivatives, train_step(parts, _batch()).derivatives)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, parts.model.state_dict()[name]), name


class _Distance:
    """The same on every worker: features of fixed images should vanish."""

    images_per_batch = 5

    def draw(self, randomness: Randomness) -> Tensor:
        return as_stored(255 - _images(5))

    def __call__(self, model: PretextModel, batch: Tensor) -> Tensor:
        return model.encoder(batch).square().sum(dim=1).mean()


def _two_steps(kind: str, kept: Tensor) -> dict[str, Any]:
    """Derivatives of two steps, and the model after them; the workers deal the images out."""
    model = _model(kind, kept=kept)
    wrapped = replicated(model, _images(2))
    learner, weighter = _learner(model, kind)
    alignment = Alignment(_Distance(), choose(model, weights_of_tasks=True))
    learner = Learner(model, wrapped, learner.optimiser, weighter, alignment, learner.randomness, not_augmented)
    mine = local_part(torch.arange(K), collectives.rank(), collectives.size())
    found = {}
    for step in range(2):
        measured = train_step(learner, SourceBatch(mine, _images()[mine], K))
        assert measured.derivatives is not None
        found[f"derivatives {step}"] = collectives.gather_rows(measured.derivatives)
    return {**found, **{name: value.clone() for name, value in model.state_dict().items()}}


def _of_all() -> dict[str, dict[str, Any]]:
    """Views without chance, since workers draw theirs from streams of their own."""
    one_task = KEPT.clone()
    one_task[4:, 0] = False
    return {
        "all": _two_steps(NOTHING_DRAWN, torch.ones(K, 2, dtype=torch.bool)),
        "some": _two_steps(NOTHING_DRAWN, KEPT),
        "a worker without": _two_steps(NOTHING_DRAWN, one_task),
    }


@pytest.fixture(scope="module")
def by_two_workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return on_workers(2, tmp_path_factory.mktemp("steps"), _of_all)


@pytest.mark.parametrize("which", ["all", "some"])
def test_two_workers_equal_one(which: str, by_two_workers: list[dict[str, Any]]) -> None:
    expected = _of_all()[which]
    for result in by_two_workers:
        for name, value in expected.items():
            torch.testing.assert_close(result[which][name], value, rtol=1e-9, atol=1e-12)


def test_a_task_of_which_a_worker_has_no_instance_is_left_out_by_all(by_two_workers: list[dict[str, Any]]) -> None:
    """The first worker has instances 0 to 3, and counting is kept for some of these alone."""
    first, second = (result["a worker without"] for result in by_two_workers)
    assert not first["derivatives 0"][:, 0].any()
    assert first["derivatives 0"][:, 1].any()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
