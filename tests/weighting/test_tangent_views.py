"""Derivatives on some of an image's views."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from bdw.encoders import Encoder
from bdw.parallel.randomness import Randomness
from bdw.pretext import Views
from bdw.pretext.vae import VariationalAutoEncoder
from bdw.weighting.gradient import conv_cache, forward_mode_rules
from bdw.weighting.gradient.estimators import ForwardMode, TrainingPass, choose
from bdw.weighting.step import train_step
from tests.pretext.models import model_of, views_of
from tests.weighting.step_problem import (
    K,
    Prototypes,
    Recorder,
    batch_of,
    learner_of,
    with_fields,
)


@pytest.mark.parametrize(("tangent_views", "saved"), [(None, 2), (4, 2), (1, 0)])
def test_convolutions_of_the_training_pass_serve_a_tangent_pass_on_the_same_views(
    tangent_views: int | None, saved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The net has two; on other views their values are others."""
    counts = []
    for worth_keeping in (math.inf, 0):
        monkeypatch.setattr(conv_cache, "WORTH_KEEPING", worth_keeping)
        learner = learner_of(Prototypes(torch.randn(12, 1, 6, 6, dtype=torch.float64)))
        calls: list[int] = []
        with monkeypatch.context() as patched:
            patched.setattr(forward_mode_rules, "_convolved", _counted(forward_mode_rules._convolved, calls))
            train_step(with_fields(learner, tangent_views=tangent_views), batch_of())
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
    model = learner_of(None, norm=lambda: nn.GroupNorm(2, 4)).model
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
    batch, target = batch_of(), torch.randn(12, 1, 6, 6, dtype=torch.float64)
    gradients = {}
    for count in (None, 4, 1):
        learner = with_fields(learner_of(Prototypes(target)), tangent_views=count)
        train_step(learner, batch)
        assert isinstance(learner.weighter, Recorder)
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
