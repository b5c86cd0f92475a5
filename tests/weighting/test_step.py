"""The step itself: what it hands to the weighter is the derivative of the meta-loss after the update it made."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bdw.diagnostics.variance_components import analysed
from bdw.diagnostics.visit_statistics import VisitStatistics
from bdw.encoders import Encoder, untouched_statistics
from bdw.parallel.randomness import Randomness
from bdw.pretext import PretextModel, Views
from bdw.pretext.vae import VariationalAutoEncoder
from bdw.weighting.gradient import conv_cache, estimators, forward_mode_rules
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.gradient.estimators import ForwardMode, TrainingPass, choose
from bdw.weighting.gradient.forward_mode import reference_weight_gradient
from bdw.weighting.gradient.natural_gradient import DAMPING
from bdw.weighting.gradient.smoothing import Smoothing, colours
from bdw.weighting.gradient.target_gradient import TargetGradient
from bdw.weighting.gradient.transforms import Centring, LogLoss, Observer, Transform, Visit
from bdw.weighting.meta_loss import prototype_cross_entropy
from bdw.weighting.step import Learner, SourceBatch, train_step
from bdw.weighting.weighters.fixed import FixedWeights
from bdw.weighting.weighters.protocol import Learns, WeightSample
from tests.pretext.models import model_of, not_augmented, views_of

K, LEARNING_RATE = 5, 0.05


class _Recorder(FixedWeights):
    """Hands out fixed weights and keeps the gradient that it is told."""

    learns = Learns.AFTER_UPDATE

    def __init__(self, weights: Tensor):
        super().__init__(weights.numpy())
        self.weights = weights
        self.gradient: Tensor | None = None

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        return WeightSample(indices, self.weights[indices])

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        self.gradient = gradient


class _Prototypes:
    images_per_batch = 12

    def __init__(self, images: Tensor):
        self.images = images

    def draw(self, randomness: Randomness) -> tuple[Tensor, ...]:
        return (self.images,)

    def __call__(self, model: PretextModel, batch: tuple[Tensor, ...]) -> Tensor:
        features = model.encoder(batch[0]).unflatten(0, (3, 4))
        return prototype_cross_entropy(features[:, :2], features[:, 2:])


class _Pretext(_Prototypes):
    def __call__(self, model: PretextModel, batch: tuple[Tensor, ...]) -> Tensor:
        return model.losses(views_of(model, batch[0])).mean()


def _learner(
    meta_loss: _Prototypes | None,
    *,
    norm: Callable[[], nn.Module] = lambda: nn.BatchNorm2d(4),
) -> Learner:
    """A small net with norms, whose optimiser has taken two steps, so that its momentum buffers are filled."""
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3), norm(), nn.Tanh(),
        nn.Conv2d(4, 4, 3), norm(), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip
    model = model_of(Encoder(backbone, 1, 5, (1, 8, 8))).double().train()
    optimiser = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-2)
    for _ in range(2):
        optimiser.zero_grad()
        model.losses(views_of(model, torch.randn(3, 1, 6, 6).double())).mean().backward()
        optimiser.step()
    weighter = _Recorder(torch.rand(K, dtype=torch.float64)) if meta_loss else FixedWeights(np.ones(K))
    alignment = Alignment(meta_loss, choose(model)) if meta_loss else None
    return Learner(model, model, optimiser, weighter, alignment, Randomness(0), not_augmented)


def _with(learner: Learner, **fields: Any) -> Learner:
    """The learner with another alignment; `wanted` and `tangent_views` are for its estimator."""
    assert learner.alignment is not None
    chosen = {name: fields.pop(name) for name in ("wanted", "tangent_views") if name in fields}
    if chosen:
        fields["estimator"] = choose(learner.model, **chosen, generator=learner.randomness["tangent_views"])
    return dataclasses.replace(learner, alignment=dataclasses.replace(learner.alignment, **fields))


def _batch() -> SourceBatch:
    return SourceBatch(torch.randperm(K), torch.randn(K, 1, 6, 6, dtype=torch.float64), K)


@pytest.mark.parametrize("kind", [_Prototypes, _Pretext])
@pytest.mark.parametrize("norm", [lambda: nn.BatchNorm2d(4), lambda: nn.GroupNorm(2, 4)], ids=["batch", "group"])
@pytest.mark.parametrize("has_zero_weight", [False, True])
@pytest.mark.parametrize("worth_keeping", [conv_cache.WORTH_KEEPING, 0], ids=["nothing_kept", "all_kept"])
def test_the_weighter_learns_from_the_exact_meta_gradient(
    kind: type[_Prototypes],
    norm: Callable[[], nn.Module],
    has_zero_weight: bool,
    worth_keeping: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against double backward from a copy of everything as it was before the step.

    With group norm and without a weight of 0 the tangents come from the training pass, otherwise from forward mode.
    """
    monkeypatch.setattr(conv_cache, "WORTH_KEEPING", worth_keeping)
    torch.manual_seed(1)
    meta_loss = kind(torch.randn(12, 1, 6, 6, dtype=torch.float64))
    learner, batch = _learner(meta_loss, norm=norm), _batch()
    assert isinstance(learner.weighter, _Recorder)
    if has_zero_weight:
        learner.weighter.weights[batch.indices[1]] = 0
    twin = copy.deepcopy(learner.model)
    buffers = {
        name: learner.optimiser.state[parameter]["momentum_buffer"].clone()
        for name, parameter in learner.model.named_parameters()
    }
    train_step(learner, batch)
    recorder = learner.weighter
    assert isinstance(recorder, _Recorder)
    assert recorder.gradient is not None
    views = views_of(twin, batch.images)

    class At:
        """The twin with other parameters, for the meta-loss."""

        task = twin.task

        def __init__(self, params: dict[str, Tensor]):
            encoder = {n.removeprefix("encoder."): v for n, v in params.items() if n.startswith("encoder.")}
            self.encoder = lambda images: functional_call(twin.encoder, encoder, (images,))
            self.params = params

        def losses(self, views: Views) -> Tensor:
            return twin.task.losses(functional_call(twin, self.params, (views,)))

    with untouched_statistics(twin):
        expected = reference_weight_gradient(
            lambda params: At(params).losses(views),
            lambda params: meta_loss(At(params), (meta_loss.images,)),  # type: ignore[arg-type]
            dict(twin.named_parameters()),
            recorder.weights[batch.indices],
            learning_rate=LEARNING_RATE,
            momentum=0.9,
            weight_decay=1e-2,
            momentum_buffers=buffers,
        )
    assert float((recorder.gradient - expected).norm() / expected.norm()) <= 1e-10


def _told(*transforms: Transform) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """What a step with these transforms tells the weighter, the batch's losses, and the model after it."""
    torch.manual_seed(1)
    learner = _with(_learner(_Prototypes(torch.randn(12, 1, 6, 6, dtype=torch.float64))), transforms=transforms)
    measured = train_step(learner, _batch())
    assert isinstance(learner.weighter, _Recorder)
    assert learner.weighter.gradient is not None
    return learner.weighter.gradient, measured.losses, learner.model.state_dict()


def test_relative_and_centred_derivatives_change_what_weights_learn_and_nothing_else() -> None:
    gradient, losses, model = _told()
    relative, _, relative_model = _told(LogLoss())
    centred, _, _ = _told(Centring())
    both, _, both_model = _told(LogLoss(), Centring())
    torch.testing.assert_close(relative, gradient / losses, rtol=1e-12, atol=0)
    torch.testing.assert_close(centred, gradient - gradient.mean(), rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(both, relative - relative.mean(), rtol=1e-10, atol=1e-14)
    for name, value in model.items():
        assert torch.equal(value, relative_model[name])
        assert torch.equal(value, both_model[name])


def test_evidence_is_of_single_visits_before_they_are_shared() -> None:
    torch.manual_seed(1)
    learner, batch = _learner(_Prototypes(torch.randn(12, 1, 6, 6, dtype=torch.float64))), _batch()
    evidence = VisitStatistics(K)
    learner = _with(learner, transforms=[LogLoss(), Centring(), Observer(evidence), Smoothing(math.inf)])
    measured = train_step(learner, batch)
    assert isinstance(learner.weighter, _Recorder)
    assert learner.weighter.gradient is not None
    assert measured.derivatives is not None
    relative = measured.derivatives / measured.losses
    own = (relative - relative.mean()).numpy()
    np.testing.assert_allclose(evidence.visits().means[batch.indices], own, rtol=1e-5, atol=1e-9)
    told = learner.weighter.gradient.numpy() * (K / LEARNING_RATE)
    assert np.abs(np.abs(told) - np.abs(own)).max() > 0.01 * np.abs(own).max(), "nothing was shared"


def test_evidence_is_shared_by_features_and_colours_of_the_batch() -> None:
    told: list[list[Tensor]] = []

    class Told(Smoothing):
        def follow(self, descriptions: Sequence[Tensor], derivatives: Tensor) -> Tensor:
            told.append(list(descriptions))
            return super().follow(descriptions, derivatives)

    learner, batch = _learner(_Prototypes(torch.randn(12, 1, 6, 6, dtype=torch.float64))), _batch()
    expected = learner.model(views_of(learner.model, batch.images)).features
    train_step(_with(learner, transforms=[Told(math.inf)]), batch)
    ((features, seen),) = told
    torch.testing.assert_close(features, expected.unflatten(0, (K, 4)).mean(dim=1))
    assert torch.equal(seen, colours(batch.images))


def test_shared_noise_is_not_taken_for_signal() -> None:
    """White noise in the place of derivatives: predictions would agree from visit to visit, single visits do not."""
    generator = torch.Generator().manual_seed(0)
    number, k = 400, 100
    features = torch.randn(number, 16, generator=generator)
    evidence = VisitStatistics(number)
    learner = _with(_learner(_Prototypes(torch.zeros(1))), transforms=[Observer(evidence), Smoothing(number)])
    assert learner.alignment is not None
    for _ in range(4):
        for rows in torch.randperm(number, generator=generator).split(k):
            noise = torch.randn(k, generator=generator)
            images = torch.randn(k, 3, 4, 4, generator=generator)
            learner.alignment.transformed(noise, Visit(rows, images, k, torch.ones(k), features[rows]))
    assert not analysed(evidence.deviations()).is_certain


@pytest.mark.parametrize("norm", [lambda: nn.BatchNorm2d(4), lambda: nn.GroupNorm(2, 4)], ids=["batch", "group"])
@pytest.mark.parametrize("has_zero_weight", [False, True])
def test_the_heads_gradients_alone_are_compared(
    norm: Callable[[], nn.Module], has_zero_weight: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against backward passes, one for the target and one for every instance. Nothing but a weight of 0 asks for
    forward mode."""
    torch.manual_seed(1)
    meta_loss = _Pretext(torch.randn(12, 1, 6, 6, dtype=torch.float64))
    learner, batch = _with(_learner(meta_loss, norm=norm), wanted="head"), _batch()
    if has_zero_weight:
        assert isinstance(learner.weighter, _Recorder)
        learner.weighter.weights[1] = 0
    else:
        monkeypatch.setattr(estimators, "instance_directional_derivatives", None)
    before = copy.deepcopy(learner.model)
    measured = train_step(learner, batch)
    after = learner.model
    with untouched_statistics(after), untouched_statistics(before):
        direction = torch.autograd.grad(meta_loss(after, (meta_loss.images,)), list(after.task.parameters()))
        losses = before.losses(views_of(before, batch.images))
        for loss, found in zip(losses, measured.derivatives, strict=True):
            gradient = torch.autograd.grad(loss, list(before.task.parameters()), retain_graph=True)
            expected = sum(float((v * g).sum()) for v, g in zip(direction, gradient, strict=True))
            assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("norm", [lambda: nn.BatchNorm2d(4), lambda: nn.GroupNorm(2, 4)], ids=["batch", "group"])
def test_the_heads_gradients_are_compared_in_their_own_metric(norm: Callable[[], nn.Module]) -> None:
    """Against backward passes, one for the target and one for every instance, and an inverse."""
    torch.manual_seed(1)
    meta_loss = _Pretext(torch.randn(12, 1, 6, 6, dtype=torch.float64))
    learner = _with(_learner(meta_loss, norm=norm), wanted="natural_head")
    batch, before = _batch(), copy.deepcopy(learner.model)
    measured = train_step(learner, batch)
    after = learner.model
    with untouched_statistics(after), untouched_statistics(before):
        found = torch.autograd.grad(meta_loss(after, (meta_loss.images,)), list(after.task.parameters()))
        v = torch.cat([part.flatten() for part in found])
        losses = before.losses(views_of(before, batch.images))
        of_each = [torch.autograd.grad(loss, list(before.task.parameters()), retain_graph=True) for loss in losses]
    g = torch.stack([torch.cat([part.flatten() for part in parts]) for parts in of_each])
    fisher = g.T @ g / K
    natural = torch.linalg.inv(fisher + DAMPING * fisher.trace() / len(v) * torch.eye(len(v), dtype=v.dtype)) @ v
    expected = g @ natural / g.norm(dim=1) * v.norm() / natural.norm()
    assert measured.derivatives is not None
    torch.testing.assert_close(measured.derivatives, expected, rtol=1e-8, atol=1e-12)


def test_steps_that_do_not_ask_the_target_compare_with_the_direction_of_the_last_that_did() -> None:
    """The target draws nothing in them; what their instances are compared with is an earlier model's gradient."""
    torch.manual_seed(1)
    meta_loss = _Pretext(torch.randn(12, 1, 6, 6, dtype=torch.float64))
    learner = _with(_learner(meta_loss), wanted="head", target_gradient=TargetGradient(every=3))
    directions, asked = [], []
    for _ in range(5):
        batch, before = _batch(), copy.deepcopy(learner.model)
        measured = train_step(learner, batch)
        asked.append(measured.meta_loss is not None)
        after, parameters = learner.model, list(before.task.parameters())
        with untouched_statistics(after), untouched_statistics(before):
            directions.append(torch.autograd.grad(meta_loss(after, (meta_loss.images,)), list(after.task.parameters())))
            losses = before.losses(views_of(before, batch.images))
        last = directions[max(i for i, did in enumerate(asked) if did)]
        for loss, found in zip(losses, measured.derivatives, strict=True):
            gradient = torch.autograd.grad(loss, parameters, retain_graph=True)
            expected = sum(float((v * g).sum()) for v, g in zip(last, gradient, strict=True))
            assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-13)
    assert asked == [True, False, False, True, False]


def test_target_batches_do_not_move_running_statistics() -> None:
    torch.manual_seed(2)
    batch, target = _batch(), torch.randn(12, 1, 6, 6, dtype=torch.float64)
    plain = _learner(None)
    train_step(plain, batch)
    weighted = _learner(_Prototypes(target))
    recorder = weighted.weighter
    assert isinstance(recorder, _Recorder)
    recorder.weights = torch.ones(K, dtype=torch.float64)
    train_step(weighted, batch)
    for a, b in zip(plain.model.buffers(), weighted.model.buffers(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("tangent_views", "saved"), [(None, 2), (4, 2), (1, 0)])
def test_convolutions_of_the_training_pass_serve_a_tangent_pass_on_the_same_views(
    tangent_views: int | None, saved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The net has two; on other views their values are others."""
    counts = []
    for worth_keeping in (math.inf, 0):
        monkeypatch.setattr(conv_cache, "WORTH_KEEPING", worth_keeping)
        learner = _learner(_Prototypes(torch.randn(12, 1, 6, 6, dtype=torch.float64)))
        calls: list[int] = []
        with monkeypatch.context() as patched:
            patched.setattr(forward_mode_rules, "_convolved", _counted(forward_mode_rules._convolved, calls))
            train_step(_with(learner, tangent_views=tangent_views), _batch())
        counts.append(len(calls))
    assert counts[0] - counts[1] == saved


def _counted(function: Callable[..., Tensor], calls: list[int]) -> Callable[..., Tensor]:
    def counted(*args: object) -> Tensor:
        calls.append(1)
        return function(*args)

    return counted


@pytest.mark.parametrize("count", [1, 2, 3])
def test_derivatives_on_some_views_are_those_of_all_views_on_average(count: int) -> None:
    """Over all subsets of every instance; no two instances see the same one at once."""
    torch.manual_seed(3)
    model = _learner(None, norm=lambda: nn.GroupNorm(2, 4)).model
    views = views_of(model, torch.randn(K, 1, 6, 6, dtype=torch.float64))
    images, angles = views.inputs
    theta = {name: value.detach() for name, value in model.named_parameters()}
    direction = {name: torch.randn_like(value) for name, value in theta.items()}
    subsets = torch.tensor(list(itertools.combinations(range(4), count)))
    instances = torch.arange(K).unsqueeze(1)
    total = torch.zeros(K, dtype=torch.float64)
    for shift in range(len(subsets)):
        chosen = subsets[(torch.arange(K) + shift) % len(subsets)]
        some = (images.unflatten(0, (K, 4))[instances, chosen].flatten(0, 1), angles[instances, chosen])
        total += ForwardMode(model).derivatives(Views(views.images, some), torch.ones(K), K, theta, direction)
    for i in range(K):
        by_instance = torch.autograd.grad(model.losses(views)[i], list(model.parameters()))
        expected = sum((g * direction[name]).sum() for g, name in zip(by_instance, theta, strict=True))
        torch.testing.assert_close(total[i] / len(subsets), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_all_subsets_of_views_are_equally_likely(count: int) -> None:
    model, generator = model_of(Encoder(nn.Flatten(), 1, 16, (1, 4, 4))), torch.Generator().manual_seed(0)
    views = views_of(model, torch.zeros(3000, 1, 4, 4))
    _, angles = model.task.some_views(views, count, generator).inputs
    drawn, frequencies = angles.sort(dim=1).values.unique(dim=0, return_counts=True)
    assert len(drawn) == math.comb(4, count)
    assert scipy.stats.chisquare(frequencies).pvalue > 0.01
    _, again = model.task.some_views(views, count, generator).inputs
    assert not torch.equal(again, angles), "every step draws anew"


def test_as_many_views_as_there_are_draw_nothing() -> None:
    torch.manual_seed(4)
    batch, target = _batch(), torch.randn(12, 1, 6, 6, dtype=torch.float64)
    gradients = {}
    for count in (None, 4, 1):
        learner = _with(_learner(_Prototypes(target)), tangent_views=count)
        train_step(learner, batch)
        assert isinstance(learner.weighter, _Recorder)
        assert learner.weighter.gradient is not None
        gradients[count] = learner.weighter.gradient
        state = learner.randomness["tangent_views"].get_state()
        assert torch.equal(state, Randomness(0)["tangent_views"].get_state()) is (count != 1)
    assert torch.equal(gradients[None], gradients[4])
    assert not torch.allclose(gradients[None], gradients[1])


def test_the_only_view_costs_no_forward_mode() -> None:
    """An auto-encoder's images have one view: asking for one must not cost it the tangents of the training pass."""
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    model = model_of(Encoder(backbone, 1, 3, (1, 4, 4)), VariationalAutoEncoder)
    assert isinstance(choose(model, tangent_views=1), TrainingPass)
