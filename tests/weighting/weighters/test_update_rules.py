"""Three training steps of BDW, DW and L2RW against references written from the papers' equations: dense tables, double
backward through the update (and, for BDW, through torch's own reparameterised Beta sample), float64, and not a line of
the code under test but the network's forward pass and the seeds of its random streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from bdw.encoders import Encoder
from bdw.encoders import build as build_encoder
from bdw.parallel.randomness import Randomness
from bdw.pretext import PretextModel
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.gradient.estimators import choose
from bdw.weighting.step import Learner, SourceBatch, train_step
from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.equal_loss import EqualLoss
from bdw.weighting.weighters.l2rw import L2RWWeighter
from bdw.weighting.weighters.point import PointWeighter
from bdw.weighting.weighters.protocol import Learns, Weighter
from bdw.weighting.weighters.self_normalised import SelfNormalised
from tests.pretext.models import losses_of, model_of, not_augmented, views_of

N, ALPHA, MOMENTUM, DECAY = 10, 0.1, 0.9, 1e-3
ETA, CLIP = 40.0, 0.003
BETA_ETA, BOUND = 60.0, 0.5
SEEDS = range(3)

Theta = dict[str, Tensor]


@dataclass
class TowardsZero:
    """A meta-loss without randomness: the features of fixed target images should vanish."""

    images_per_batch: int = 3

    def draw(self, randomness: Randomness) -> tuple[Tensor, ...]:
        return (torch.linspace(-1, 1, 3 * 36, dtype=torch.float64).view(3, 1, 6, 6),)

    def __call__(self, model: PretextModel, batch: tuple[Tensor, ...]) -> Tensor:
        return model.encoder(batch[0]).square().sum()


class Problem:
    """A network without batch statistics, ten images in three batches that overlap, and what a reference needs of them
    as functions of theta."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5))
        self.model = model_of(Encoder(backbone, 1, 5, (1, 8, 8))).double()
        self.images = torch.randn(N, 1, 6, 6, dtype=torch.float64)
        self.batches = [torch.randperm(N)[:size].tolist() for size in (5, 4, 5)]
        self.theta: Theta = {name: p.detach().clone() for name, p in self.model.named_parameters()}

    def losses(self, theta: Theta, rows: list[int]) -> Tensor:
        """L_i (k,) at theta."""
        return losses_of(self.model, views_of(self.model, self.images[rows]))(theta)

    def meta(self, theta: Theta) -> Tensor:
        """L_meta at theta."""
        backbone = {
            name.removeprefix("encoder."): value for name, value in theta.items() if name.startswith("encoder.")
        }
        loss = TowardsZero()
        features: Tensor = functional_call(self.model.encoder, backbone, loss.draw(Randomness(0)))
        return features.square().sum()

    def run(self, weighter: Weighter) -> Theta:
        """theta after the three steps by `train_step`; the weighter is at the end of its epoch."""
        after = weighter.learns is Learns.AFTER_UPDATE
        learner = Learner(
            model=self.model,
            replicated=self.model,
            optimiser=torch.optim.SGD(self.model.parameters(), lr=ALPHA, momentum=MOMENTUM, weight_decay=DECAY),
            weighter=weighter,
            alignment=Alignment(TowardsZero(), choose(self.model, has_training_pass=after)),
            randomness=Randomness(0),
            augment=not_augmented,
        )
        for rows in self.batches:
            train_step(learner, SourceBatch(torch.tensor(rows), self.images[rows], len(rows)))
        weighter.end_epoch()
        return {name: p.detach() for name, p in self.model.named_parameters()}


def gradients(loss: Tensor, theta: Theta) -> Theta:
    """With graph, so that the update can be differentiated."""
    found = torch.autograd.grad(loss, list(theta.values()), create_graph=True, materialize_grads=True)
    return dict(zip(theta, found, strict=True))


def leaves_of(theta: Theta) -> Theta:
    return {name: value.detach().requires_grad_() for name, value in theta.items()}


def heavy_ball(theta: Theta, buffers: Theta, gradient: Theta) -> tuple[Theta, Theta]:
    """theta' and the new buffers: buf' = mu buf + g + decay theta, theta' = theta - alpha buf'."""
    buffers = {name: MOMENTUM * buffers[name] + gradient[name] + DECAY * theta[name] for name in theta}
    return {name: theta[name] - ALPHA * buffers[name] for name in theta}, buffers


def reference_l2rw(problem: Problem) -> tuple[Theta, Tensor]:
    """Ren et al. 2018, Algorithm 1, with heavy ball and weight decay in the update that follows."""
    theta, buffers = problem.theta, {name: torch.zeros_like(value) for name, value in problem.theta.items()}
    table = torch.zeros(N, dtype=torch.float64)
    for rows in problem.batches:
        theta = leaves_of(theta)
        epsilon = torch.zeros(len(rows), dtype=torch.float64, requires_grad=True)
        step = gradients((epsilon * problem.losses(theta, rows)).sum(), theta)
        theta_hat = {name: theta[name] - ALPHA * step[name] for name in theta}
        (by_epsilon,) = torch.autograd.grad(problem.meta(theta_hat), epsilon)
        weights = torch.where(by_epsilon < 0, -by_epsilon, 0.0)
        weights = weights / weights.sum() if weights.sum() > 0 else weights
        theta, buffers = heavy_ball(theta, buffers, gradients((weights * problem.losses(theta, rows)).sum(), theta))
        buffers = {name: value.detach() for name, value in buffers.items()}
        table[rows] = weights * len(rows)
    return theta, table


def reference_point(problem: Problem, normalise: bool = False) -> tuple[Theta, Tensor]:
    """DW: w in [0, 1] from 0, gradient clipped at a norm, dense momentum over the whole table in every step."""
    theta, buffers = problem.theta, {name: torch.zeros_like(value) for name, value in problem.theta.items()}
    table, table_buffer = torch.zeros(N, dtype=torch.float64), torch.zeros(N, dtype=torch.float64)
    for rows in problem.batches:
        theta = leaves_of(theta)
        weights = table[rows].clone().requires_grad_()
        used = weights / weights.mean() if normalise and bool(weights.sum() > 0) else weights
        loss = (used * problem.losses(theta, rows)).sum() / len(rows)
        after, buffers = heavy_ball(theta, buffers, gradients(loss, theta))
        (by_weight,) = torch.autograd.grad(problem.meta(after), weights)
        norm = by_weight.norm()
        assert norm > CLIP, "the limit was never met, so clipping was not tested"
        by_weight = by_weight * CLIP / norm
        dense = torch.zeros(N, dtype=torch.float64)
        dense[rows] = by_weight
        table_buffer = 0.9 * table_buffer + dense
        table = (table - ETA * table_buffer).clip(0, 1)
        theta, buffers = after, {name: value.detach() for name, value in buffers.items()}
    return theta, table


def reference_beta(problem: Problem, use: Callable[[Tensor], Tensor] = lambda weights: weights) -> tuple[Theta, Tensor]:
    """BDW: w ~ Beta(a, b) from the uniform prior, dense momentum on log a and log b of the whole table every step.

    `use` makes of the weights (k,) what losses are multiplied by.
    """
    theta, buffers = problem.theta, {name: torch.zeros_like(value) for name, value in problem.theta.items()}
    logs, logs_buffer = torch.zeros(2, N, dtype=torch.float64), torch.zeros(2, N, dtype=torch.float64)
    stream = Randomness(0)["weights"].get_state()
    for rows in problem.batches:
        theta, logs = leaves_of(theta), logs.detach().requires_grad_()
        a, b = logs[:, rows].exp()
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(stream)
            weights = torch.distributions.Beta(a, b).rsample()
            stream = torch.get_rng_state()
        loss = (use(weights) * problem.losses(theta, rows)).sum() / len(rows)
        after, buffers = heavy_ball(theta, buffers, gradients(loss, theta))
        (dense,) = torch.autograd.grad(problem.meta(after), logs)
        assert dense.count_nonzero() == 2 * len(rows)
        logs_buffer = 0.9 * logs_buffer + dense
        logs = (logs - BETA_ETA * logs_buffer).clip(-BOUND, BOUND)
        theta, buffers = after, {name: value.detach() for name, value in buffers.items()}
    return theta, logs.detach()


def beta() -> BetaWeighter:
    return BetaWeighter(
        N, learning_rate=BETA_ETA, momentum=0.9, log_bound=BOUND, cdf_threshold=0.1, density_threshold=0.5,
        dtype=torch.float64,
    )  # fmt: skip


def point() -> PointWeighter:
    return PointWeighter(
        N, learning_rate=ETA, momentum=0.9, gradient_clip=CLIP, threshold=0.1, dtype=torch.float64
    )  # fmt: skip


def assert_equal(found: Theta, expected: Theta) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.detach(), rtol=1e-10, atol=1e-12)


def assert_table(found: NDArray[np.float64], expected: Tensor, *, bound: float) -> None:
    """The table is the reference's, and some of it, but not all, was cut off at the bound."""
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-10, atol=1e-12)
    assert bool((expected == bound).any())
    assert not bool((expected == bound).all())


@pytest.mark.parametrize("seed", SEEDS)
def test_three_steps_of_l2rw(seed: int) -> None:
    problem, weighter = Problem(seed), L2RWWeighter(N)
    expected, table = reference_l2rw(problem)
    assert_equal(problem.run(weighter), expected)
    assert_table(weighter.table().mean, table, bound=0)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_three_steps_of_dw(seed: int, normalise: bool) -> None:
    problem, weighter = Problem(seed), point()
    expected, table = reference_point(problem, normalise)
    assert_equal(problem.run(SelfNormalised(weighter) if normalise else weighter), expected)
    assert_table(weighter.table().mean, table, bound=0)


@pytest.mark.parametrize(
    ("wrap", "use"),
    [
        (lambda weighter: weighter, lambda weights: weights),
        (SelfNormalised, lambda weights: weights / weights.mean()),
        (EqualLoss, lambda weights: weights - weights.detach() + 1),
    ],
    ids=["plain", "normalised", "equal loss"],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_three_steps_of_bdw(seed: int, wrap: Callable[[Weighter], Weighter], use: Callable[[Tensor], Tensor]) -> None:
    problem, weighter = Problem(seed), beta()
    expected, (log_a, log_b) = reference_beta(problem, use)
    assert_equal(problem.run(wrap(weighter)), expected)
    table = weighter.table()
    assert_table(np.log(table.a), log_a, bound=BOUND)
    assert_table(np.log(table.b), log_b, bound=-BOUND)


def test_dw_limits_the_norm_of_the_whole_gradient_and_leaves_shorter_ones_alone() -> None:
    generator = torch.Generator()
    for length, expected in ((5.0, 5.0), (50.0, 10.0)):
        weighter = PointWeighter(
            2, learning_rate=0.01, momentum=0.0, gradient_clip=10.0, threshold=0.1, dtype=torch.float64
        )
        sample = weighter.sample(torch.tensor([0, 1]), generator)
        weighter.update(sample, torch.tensor([-0.6, -0.8], dtype=torch.float64) * length)
        found = torch.from_numpy(weighter.table().mean)
        torch.testing.assert_close(found, torch.tensor([0.006, 0.008]).double() * expected, rtol=1e-6, atol=0)


def test_dw_prunes_at_lambda_and_below_but_never_the_unjudged() -> None:
    weighter = PointWeighter(4, learning_rate=1.0, momentum=0.0, gradient_clip=10.0, threshold=0.25)
    sample = weighter.sample(torch.tensor([0, 1, 2]), torch.Generator())
    assert not weighter.useless().any(), "a draw is no gradient"
    weighter.update(sample, torch.tensor([-0.25, -0.26, 1.0]))
    weighter.end_epoch()
    assert weighter.useless().tolist() == [True, False, True, False]


def test_l2rw_gives_no_weight_where_nothing_helps() -> None:
    weighter = L2RWWeighter(3)
    rows = torch.tensor([0, 2])
    weighter.update(weighter.sample(rows, torch.Generator()), torch.tensor([1.0, 0.5]))
    assert weighter.sample(rows, torch.Generator()).weights.tolist() == [0.0, 0.0]
    weighter.update(weighter.sample(rows, torch.Generator()), torch.tensor([-3.0, -1.0]))
    assert weighter.sample(rows, torch.Generator()).weights.tolist() == [1.5, 0.5]
    assert weighter.table().mean.tolist() == [1.5, 0.0, 0.5]


@pytest.mark.parametrize("make", [lambda: L2RWWeighter(N), point], ids=["l2rw", "point"])
def test_running_statistics_move_once_a_step(make: Callable[[], Weighter]) -> None:
    model = model_of(build_encoder("small_cnn", 1, 16))
    weighter = make()
    learner = Learner(
        model=model,
        replicated=model,
        optimiser=torch.optim.SGD(model.parameters(), lr=ALPHA),
        weighter=weighter,
        alignment=Alignment(_Float(), choose(model, has_training_pass=weighter.learns is Learns.AFTER_UPDATE)),
        randomness=Randomness(0),
        augment=not_augmented,
    )
    train_step(learner, SourceBatch(torch.arange(4), torch.randn(4, 1, 8, 8), 4))
    counts = [int(value) for name, value in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert set(counts) == {1}


class _Float(TowardsZero):
    def draw(self, randomness: Randomness) -> tuple[Tensor, ...]:
        return (super().draw(randomness)[0].float(),)
