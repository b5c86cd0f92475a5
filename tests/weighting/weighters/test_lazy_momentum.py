"""Lazy momentum against the dense optimiser that it stands for: torch's SGD over the whole table, every step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bdw.weighting.weighters.lazy_momentum import LazyMomentum

N, P = 40, 2
LOW, HIGH = -0.4, 0.6


class Dense:
    """torch.optim.SGD on all rows, clamped after every step; pruned rows are put back to where they were, and lose
    their momentum."""

    def __init__(self, learning_rate: float, momentum: float):
        self.table = torch.nn.Parameter(torch.zeros(P, N, dtype=torch.float64))
        self.sgd = torch.optim.SGD([self.table], lr=learning_rate, momentum=momentum)
        self.frozen = torch.zeros(N, dtype=torch.bool)

    def step(self, rows: Tensor, gradients: Tensor) -> None:
        self.table.grad = torch.zeros_like(self.table)
        self.table.grad[:, rows] = gradients
        before = self.table.detach().clone()
        self.sgd.step()
        with torch.no_grad():
            self.table.clamp_(LOW, HIGH)
            self.table[:, self.frozen] = before[:, self.frozen]
            if self.sgd.param_groups[0]["momentum"]:
                self.sgd.state[self.table]["momentum_buffer"][:, self.frozen] = 0


@pytest.mark.parametrize("returns", [False, True], ids=["pruned for good", "pruned for a time"])
@pytest.mark.parametrize(("seed", "momentum", "rate"), [(0, 0.9, 0.1), (1, 0.9, 0.1), (2, 0.9, 0.1), (3, 0.0, 1.0)])
def test_equals_dense_momentum_over_200_batches_with_pruning_and_a_changed_rate(
    seed: int, momentum: float, rate: float, returns: bool
) -> None:
    torch.manual_seed(seed)
    start = torch.zeros(P, N, dtype=torch.float64)
    lazy = LazyMomentum(start, learning_rate=rate, momentum=momentum, low=LOW, high=HIGH)
    dense = Dense(rate, momentum)
    kept = torch.arange(N)
    for step in range(200):
        if step == 80:
            lazy.learning_rate = 0.3 * rate
            dense.sgd.param_groups[0]["lr"] = 0.3 * rate
        if step == 120:
            gone, kept = kept[:10], kept[10:]
            lazy.freeze(gone)
            dense.frozen[gone] = True
        if step == 160 and returns:
            kept = torch.arange(N)
            dense.frozen[:] = False
        rows = kept[torch.randperm(len(kept))[:4]]
        gradients = torch.randn(P, 4, dtype=torch.float64)
        lazy.catch_up(rows)
        # What a weighter reads in this moment must be what the dense table holds.
        torch.testing.assert_close(lazy.parameters[:, rows], dense.table[:, rows].detach(), rtol=0, atol=1e-12)
        lazy.step(rows, gradients)
        dense.step(rows, gradients)
        if step % 50 == 49:
            lazy.catch_up()  # the end of an epoch
            torch.testing.assert_close(lazy.parameters, dense.table.detach(), rtol=0, atol=1e-12)
    lazy.catch_up()
    torch.testing.assert_close(lazy.parameters, dense.table.detach(), rtol=0, atol=1e-12)
    for bound in (LOW, HIGH):
        assert bool((lazy.parameters == bound).any()), "a bound was never met, so clamping was not tested"
    assert bool(((lazy.parameters > LOW) & (lazy.parameters < HIGH)).any())


def test_catching_up_twice_changes_nothing() -> None:
    torch.manual_seed(1)
    lazy = LazyMomentum(torch.zeros(P, N), learning_rate=0.1, momentum=0.9, low=LOW, high=HIGH)
    for _ in range(5):
        rows = torch.randperm(N)[:4]
        lazy.catch_up(rows)
        lazy.step(rows, torch.randn(P, 4))
    lazy.catch_up()
    once = lazy.parameters.clone()
    lazy.catch_up()
    assert torch.equal(lazy.parameters, once)


def test_state_continues_bit_for_bit() -> None:
    torch.manual_seed(2)
    batches = [(torch.randperm(N)[:4], torch.randn(P, 4)) for _ in range(20)]

    def run(lazy: LazyMomentum, part: list[tuple[Tensor, Tensor]]) -> None:
        for rows, gradients in part:
            lazy.catch_up(rows)
            lazy.step(rows, gradients)

    whole, first, second = (
        LazyMomentum(torch.zeros(P, N), learning_rate=0.1, momentum=0.9, low=LOW, high=HIGH) for _ in range(3)
    )
    run(whole, batches)
    run(first, batches[:11])
    second.load_state_dict(first.state_dict())
    run(second, batches[11:])
    whole.catch_up()
    second.catch_up()
    assert torch.equal(whole.parameters, second.parameters)
    assert torch.equal(whole.buffers, second.buffers)
