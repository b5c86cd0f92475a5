"""Several targets: every column moves by the exact derivative of its own target's meta-loss, and by nothing else."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bdw.parallel.randomness import Randomness, drawn_from
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.step import Learner, train_step
from bdw.weighting.target_columns import TargetColumn
from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.of_targets import Combination, OfTargets
from tests.weighting.step_problem import K, Pretext, Prototypes, batch_of, buffers_of, learner_of, reference_gradient

NORMS = {"batch": lambda: nn.BatchNorm2d(4), "group": lambda: nn.GroupNorm(2, 4)}
SHARES = (3.0, 1.0, 2.0)
COMBINED: dict[Combination, Callable[[Tensor], Tensor]] = {
    "union": lambda drawn: drawn.max(dim=1).values,
    "mean": lambda drawn: (3 * drawn[:, 0] + drawn[:, 1] + 2 * drawn[:, 2]) / 6,
    "vote": lambda drawn: (3 * drawn[:, 0] + drawn[:, 1] + 2 * drawn[:, 2]) / 6,
}


def _learner(combination: Combination, norm: str) -> Learner:
    """Three targets, one of which asks by another meta-loss, and weights that are not all alike."""
    learner = learner_of(Prototypes(torch.empty(0)), norm=NORMS[norm])
    inner = BetaWeighter(
        K, learning_rate=1.0, momentum=0.0, log_bound=50.0, cdf_threshold=0.1, density_threshold=0.5, columns=3,
        dtype=torch.float64,
    )  # fmt: skip
    torch.manual_seed(3)
    inner.instances.values.copy_(torch.randn(2, 3 * K).double())
    assert learner.alignment is not None
    estimator = learner.alignment.estimator
    losses = [kind(torch.randn(12, 1, 6, 6).double()) for kind in (Prototypes, Pretext, Prototypes)]
    targets = [
        TargetColumn(f"target {number}", Alignment(loss, estimator), Randomness(number))
        for number, loss in enumerate(losses)
    ]
    return dataclasses.replace(learner, weighter=OfTargets(inner, combination, SHARES), alignment=None, targets=targets)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("combination", COMBINED)
def test_every_column_moves_by_the_exact_meta_gradient_of_its_own_target(combination: Combination, norm: str) -> None:
    """Against double backward through the update, and autograd through the combination and the Beta samples."""
    learner, batch = _learner(combination, norm), batch_of()
    table = learner.weighter.state_dict()["parameters"]
    before, twin, buffers = table.clone(), copy.deepcopy(learner.model), buffers_of(learner)
    logs = torch.stack(before.view(2, 3, K).unbind(1), dim=-1)[:, batch.indices].requires_grad_()
    a, b = logs.exp()
    with drawn_from(copy.deepcopy(learner.randomness)["weights"]):
        weights = COMBINED[combination](torch.distributions.Beta(a, b).rsample())
    measured = train_step(learner, batch)
    moved = (before - table).view(2, 3, K)[:, :, batch.indices]
    assert measured.derivatives is not None
    assert measured.derivatives.shape == (K, 3)
    for number, column in enumerate(learner.targets):
        of_weights = reference_gradient(twin, column.alignment.meta_loss, batch, weights.detach(), buffers)  # type: ignore[arg-type]
        (expected,) = torch.autograd.grad(weights, logs, of_weights, retain_graph=True)
        difference = (moved[:, number] - expected[..., number]).norm() / expected[..., number].norm()
        assert float(difference) <= 1e-10, f"column {number}"


def test_a_further_target_changes_nothing_that_another_one_learns() -> None:
    """With weights that do not count in the loss the model does not know of the columns at all."""

    def learnt(targets: int) -> tuple[np.ndarray, dict[str, Tensor]]:
        learner = _learner("mean", "batch")
        inner = BetaWeighter(
            K, learning_rate=1.0, momentum=0.9, log_bound=50.0, cdf_threshold=0.1, density_threshold=0.5,
            columns=targets, dtype=torch.float64,
        )  # fmt: skip
        from bdw.weighting.weighters.equal_loss import EqualLoss

        inner.instances.values.zero_()
        learner = dataclasses.replace(
            learner, weighter=EqualLoss(_Signs(inner, "vote")), targets=learner.targets[:targets]
        )
        torch.manual_seed(5)
        batch = batch_of()
        for _ in range(3):
            train_step(learner, batch)
        return inner.instances.values.view(2, targets, K)[:, 0].numpy(), learner.model.state_dict()

    (two, model), (three, other) = learnt(2), learnt(3)
    np.testing.assert_array_equal(two, three)
    assert all(torch.equal(value, other[name]) for name, value in model.items())
    assert np.ptp(two) > 0


class _Signs(OfTargets):
    """Learns the gradient itself, whatever was drawn."""

    learns_from_draw = False

    def __init__(self, inner: BetaWeighter, combination: Combination):
        super().__init__(inner, combination)
        self.learns_from_draw = False

    def update(self, sample: object, gradient: Tensor) -> None:
        indices = sample.indices  # type: ignore[attr-defined]
        inner = self.inner
        assert isinstance(inner, BetaWeighter)
        inner.read(indices)
        inner.step(indices, torch.stack([gradient, -gradient]))


def test_a_step_that_does_not_learn_asks_no_target() -> None:
    learner, batch = _learner("union", "batch"), batch_of()
    before = learner.weighter.state_dict()["parameters"].clone()
    measured = train_step(learner, batch, learn=False)
    assert measured.meta_loss is None
    assert measured.derivatives is None
    assert torch.equal(learner.weighter.state_dict()["parameters"], before)
