"""The meta-gradient against double backward, central differences, a closed form, and torch's own SGD."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from bdw.encoders import untouched_statistics
from bdw.weighting.gradient.forward_mode import (
    instance_directional_derivatives,
    reference_weight_gradient,
    weight_gradient,
)
from bdw.weighting.meta_loss import prototype_cross_entropy

LEARNING_RATE = 0.1
K = 6


def _net(norm: str) -> nn.Module:
    layers: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: nn.BatchNorm2d(4),
        "group": lambda: nn.GroupNorm(2, 4),
        "none": nn.Identity,
    }
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), layers[norm](), nn.Tanh(), nn.Conv2d(4, 5, 3, stride=2), nn.Flatten(),
        nn.Linear(20, 4),
    )  # fmt: skip
    return net.double().train()


class Problem:
    """A random small bi-level problem: k instances with some views each, a meta-loss, one SGD step."""

    def __init__(self, norm: str, num_views: int, momentum: float, weight_decay: float, seed: int):
        torch.manual_seed(seed)
        self.net = _net(norm)
        self.images = torch.randn(K * num_views, 2, 6, 6, dtype=torch.float64)
        self.labels = torch.randint(4, (K * num_views,))
        self.target = torch.randn(12, 2, 6, 6, dtype=torch.float64)
        self.num_views = num_views
        self.momentum, self.weight_decay = momentum, weight_decay
        self.weights = torch.rand(K, dtype=torch.float64)
        self.params = {name: p.detach().clone() for name, p in self.net.named_parameters()}
        self.buffers = {name: torch.randn_like(p) for name, p in self.params.items()} if momentum else None

    def losses(self, params: dict[str, Tensor]) -> Tensor:
        with untouched_statistics(self.net):
            logits = functional_call(self.net, params, (self.images,))
        return functional.cross_entropy(logits, self.labels, reduction="none").view(K, self.num_views).mean(1)

    def meta_loss(self, params: dict[str, Tensor]) -> Tensor:
        with untouched_statistics(self.net):
            features = functional_call(self.net, params, (self.target,)).view(3, 4, -1)
        return prototype_cross_entropy(features[:, :2], features[:, 2:])

    def stepped(self, weights: Tensor) -> dict[str, Tensor]:
        """theta'(w) by torch's own optimiser."""
        net_params = {name: nn.Parameter(p.clone()) for name, p in self.params.items()}
        sgd = torch.optim.SGD(
            net_params.values(), lr=LEARNING_RATE, momentum=self.momentum, weight_decay=self.weight_decay
        )
        if self.buffers is not None:
            for name, parameter in net_params.items():
                sgd.state[parameter]["momentum_buffer"] = self.buffers[name].clone()
        ((weights * self.losses(net_params)).sum() / K).backward()
        sgd.step()
        return {name: p.detach() for name, p in net_params.items()}

    def forward_mode(self) -> Tensor:
        after = {name: p.requires_grad_() for name, p in self.stepped(self.weights).items()}
        gradients = torch.autograd.grad(self.meta_loss(after), list(after.values()))
        direction = dict(zip(after, gradients, strict=True))
        return weight_gradient(instance_directional_derivatives(self.losses, self.params, direction), LEARNING_RATE, K)


def _relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


CASES = [
    pytest.param(norm, views, momentum, decay, id=f"{norm}-views{views}-momentum{momentum}-decay{decay}")
    for norm, views, momentum, decay in itertools.product(("batch", "group", "none"), (1, 4), (0.0, 0.9), (0.0, 5e-3))
]


@pytest.mark.parametrize(("norm", "num_views", "momentum", "decay"), CASES)
def test_equals_double_backward(norm: str, num_views: int, momentum: float, decay: float) -> None:
    for seed in range(3):
        problem = Problem(norm, num_views, momentum, decay, seed)
        reference = reference_weight_gradient(
            problem.losses,
            problem.meta_loss,
            problem.params,
            problem.weights,
            learning_rate=LEARNING_RATE,
            momentum=momentum,
            weight_decay=decay,
            momentum_buffers=problem.buffers,
        )
        assert _relative_error(problem.forward_mode(), reference) <= 1e-10


@pytest.mark.parametrize(("norm", "num_views", "momentum", "decay"), CASES)
def test_equals_central_differences_of_the_updated_meta_loss(
    norm: str, num_views: int, momentum: float, decay: float
) -> None:
    problem = Problem(norm, num_views, momentum, decay, seed=7)
    step = 1e-4
    differences = torch.zeros(K, dtype=torch.float64)
    for i in range(K):
        shift = torch.zeros(K, dtype=torch.float64)
        shift[i] = step
        above, below = (float(problem.meta_loss(problem.stepped(problem.weights + s))) for s in (shift, -shift))
        differences[i] = (above - below) / (2 * step)
    assert _relative_error(problem.forward_mode(), differences) <= 1e-6


def test_ridge_regression_has_a_closed_form() -> None:
    """L_i = (x_i theta - y_i)^2 / 2 and L_meta = |X' theta' - y'|^2 / 2: everything by hand."""
    torch.manual_seed(0)
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    x_meta, y_meta = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    theta, weights = torch.randn(3, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    instance_gradients = (x @ theta - y)[:, None] * x
    stepped = theta - 0.3 * (weights @ instance_gradients / 5)
    direction = x_meta.T @ (x_meta @ stepped - y_meta)
    expected = -0.3 / 5 * instance_gradients @ direction
    derivatives = instance_directional_derivatives(
        lambda p: (x @ p["theta"] - y).square() / 2, {"theta": theta}, {"theta": direction}
    )
    torch.testing.assert_close(weight_gradient(derivatives, 0.3, 5), expected, rtol=1e-13, atol=0)


def test_a_missing_block_of_the_direction_is_a_zero_block() -> None:
    problem = Problem("batch", 1, 0.0, 0.0, seed=1)
    direction = {name: torch.randn_like(p) for name, p in problem.params.items()}
    last = [name for name in direction if name.startswith("5.")]
    zeroed = {name: torch.zeros_like(v) if name in last else v for name, v in direction.items()}
    partial = {name: v for name, v in direction.items() if name not in last}
    torch.testing.assert_close(
        instance_directional_derivatives(problem.losses, problem.params, partial),
        instance_directional_derivatives(problem.losses, problem.params, zeroed),
        rtol=1e-12, atol=1e-14,
    )  # fmt: skip


def test_is_linear_in_the_direction_and_zero_along_nothing() -> None:
    problem = Problem("batch", 4, 0.0, 0.0, seed=2)
    u, v = ({name: torch.randn_like(p) for name, p in problem.params.items()} for _ in range(2))
    both = {name: 2 * u[name] - 3 * v[name] for name in u}
    along = [instance_directional_derivatives(problem.losses, problem.params, d) for d in (u, v, both)]
    torch.testing.assert_close(along[2], 2 * along[0] - 3 * along[1], rtol=1e-11, atol=1e-12)
    nothing = instance_directional_derivatives(problem.losses, problem.params, {})
    assert torch.equal(nothing, torch.zeros(K, dtype=torch.float64))


def test_permuting_the_batch_permutes_the_derivatives() -> None:
    problem = Problem("batch", 1, 0.0, 0.0, seed=3)
    direction = {name: torch.randn_like(p) for name, p in problem.params.items()}
    before = instance_directional_derivatives(problem.losses, problem.params, direction)
    order = torch.randperm(K)
    problem.images, problem.labels = problem.images[order], problem.labels[order]
    after = instance_directional_derivatives(problem.losses, problem.params, direction)
    torch.testing.assert_close(after, before[order], rtol=1e-11, atol=1e-13)


def test_an_instance_that_opposes_the_target_gets_a_positive_gradient() -> None:
    """A positive dL_meta/dw means that a larger weight hurts, so descent lowers the weight."""
    losses = lambda p: (p["theta"] - torch.tensor([1.0, -1.0])).square()  # noqa: E731
    theta = {"theta": torch.zeros(1)}
    target_gradient = {"theta": torch.tensor([-2.0])}  # the target wants theta at +1
    gradient = weight_gradient(instance_directional_derivatives(losses, theta, target_gradient), 0.1, 2)
    assert gradient[0] < 0 < gradient[1]


def test_bad_arguments_are_refused() -> None:
    params = {"theta": torch.zeros(2)}
    with pytest.raises(KeyError, match="phi"):
        instance_directional_derivatives(lambda p: p["theta"], params, {"phi": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"vector \(k,\)"):
        instance_directional_derivatives(lambda p: p["theta"].sum(), params, {"theta": torch.ones(2)})
