"""The table against dense optimisers: torch's SGD over all rows, every step; one of them for each column."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from bdw.weighting.instance_table import InstanceTable, Momentum
from bdw.weighting.weighters.beta import BetaWeighter

N, Q = 40, 2
LOW, HIGH = -0.4, 0.6


def table(columns: int = 1, momentum: float = 0.9, rate: float = 0.1, n: int = N) -> InstanceTable:
    how = Momentum(rate, momentum, LOW, HIGH)
    return InstanceTable(n, Q, columns=columns, momentum=how, marks=("seen",), dtype=torch.float64)


class Dense:
    """torch.optim.SGD on all rows, clamped after every step; pruned rows are put back to where they were, and lose
    their momentum."""

    def __init__(self, learning_rate: float = 0.1, momentum: float = 0.9):
        self.table = torch.nn.Parameter(torch.zeros(Q, N, dtype=torch.float64))
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


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("seed", "momentum", "rate"), [(0, 0.9, 0.1), (1, 0.9, 0.1), (2, 0.9, 0.1), (3, 0.0, 1.0)])
def test_equals_dense_momentum_over_200_batches_with_pruning(seed: int, momentum: float, rate: float) -> None:
    torch.manual_seed(seed)
    lazy, dense, kept = table(1, momentum, rate), Dense(rate, momentum), torch.arange(N)
    for step in range(200):
        if step == 120:
            gone, kept = kept[:10], kept[10:]
            lazy.freeze(gone)
            dense.frozen[gone] = True
        rows = kept[torch.randperm(len(kept))[:4]]
        gradients = torch.randn(Q, 4, dtype=torch.float64)
        # What a weighter reads in this moment must be what the dense table holds.
        assert_close(lazy.read(rows), dense.table[:, rows])
        lazy.step(rows, gradients)
        dense.step(rows, gradients)
        if step % 50 == 49:
            lazy.end_epoch()
            assert_close(lazy.values, dense.table)
    for bound in (LOW, HIGH):
        assert bool((lazy.values == bound).any()), "a bound was never met, so clamping was not tested"
    assert bool(((lazy.values > LOW) & (lazy.values < HIGH)).any())


def test_two_columns_move_as_two_dense_tables_do() -> None:
    """In some steps both learn, in others one alone; then the other's clock stands still."""
    torch.manual_seed(0)
    both, dense = table(columns=2), [Dense(), Dense()]
    for step in range(150):
        rows, learn = torch.randperm(N)[:4], ((0, 1), (0,), (1,))[step % 3]
        if step >= 100:
            rows = rows[rows >= 10]
        if step == 100:
            both.freeze(torch.arange(10))
            for single in dense:
                single.frozen[:10] = True
        for column in learn:
            gradients = torch.randn(Q, len(rows), dtype=torch.float64)
            assert_close(both.read(rows, column), dense[column].table[:, rows])
            both.step(rows, gradients, column)
            dense[column].step(rows, gradients)
    both.end_epoch()
    assert_close(both.values, torch.cat([single.table for single in dense], dim=1))
    assert bool((both.values == LOW).any())


def test_two_columns_are_two_tables_of_one_bit_for_bit() -> None:
    torch.manual_seed(1)
    both, singles = table(columns=2), [table(), table()]
    for step in range(60):
        rows = torch.randperm(N)[:4]
        for column in ((0,), (1,), (0, 1))[step % 3]:
            gradients = torch.randn(Q, 4, dtype=torch.float64)
            assert torch.equal(both.read(rows, column), singles[column].read(rows))
            both.step(rows, gradients, column)
            singles[column].step(rows, gradients)
            both.mark("seen", rows, column)
            singles[column].mark("seen", rows)
        if step == 30:
            for one in (both, *singles):
                one.freeze(torch.tensor([3, 8]))
    for one in (both, *singles):
        one.end_epoch()
    for name, found in both.state_dict().items():
        expected = [single.state_dict()[name] for single in singles]
        assert torch.equal(found, torch.cat(expected, dim=-1)), name


def test_a_row_is_pruned_when_all_its_columns_agree() -> None:
    """BDW's rule by scipy, image by image and column by column."""
    weighter = BetaWeighter(
        N, learning_rate=1.0, momentum=0.9, log_bound=3.0, cdf_threshold=0.3, density_threshold=0.5
    )  # fmt: skip
    weighter.instances = InstanceTable(N, 2, columns=2, momentum=Momentum(1.0, 0.9, -3.0, 3.0), dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for column in (0, 1):
        rows, gradients = torch.arange(N), torch.randn(2, N, generator=generator, dtype=torch.float64)
        weighter.instances.step(rows, 2 * gradients, column)
    weighter.end_epoch()
    logs = weighter.instances.values.view(2, 2, N).numpy()
    each = [
        [float(scipy.stats.beta(*np.exp(logs[:, column, row])).cdf(0.3)) > 0.5 for column in (0, 1)] for row in range(N)
    ]
    assert {tuple(verdicts) for verdicts in each} == {(a, b) for a in (False, True) for b in (False, True)}
    assert weighter.useless().tolist() == [all(verdicts) for verdicts in each]


def _visited(some: InstanceTable, seed: int, steps: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randperm(N, generator=generator)[:4]
        for column in range(some.columns):
            some.read(rows, column)
            some.step(rows, torch.randn(Q, 4, generator=generator, dtype=torch.float64), column)
            some.mark("seen", rows[:1], column)


def test_ending_an_epoch_twice_changes_nothing() -> None:
    once = table()
    _visited(once, 0, 5)
    once.end_epoch()
    before = {name: value.clone() for name, value in once.state_dict().items()}
    once.end_epoch()
    assert all(torch.equal(value, before[name]) for name, value in once.state_dict().items())


@pytest.mark.parametrize("make", [table, lambda: table(columns=2)], ids=["one column", "two columns"])
def test_state_continues_bit_for_bit(make: Callable[[], InstanceTable]) -> None:
    whole, first, second = make(), make(), make()
    _visited(whole, 2, 11)
    _visited(first, 2, 11)
    first.freeze(torch.tensor([1]))
    whole.freeze(torch.tensor([1]))
    second.load_state_dict(first.state_dict())
    for one in (whole, second):
        _visited(one, 3, 9)
        one.end_epoch()
    expected = whole.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in second.state_dict().items())


def test_an_excerpt_goes_on_alone() -> None:
    whole, rows = table(columns=2), torch.tensor([7, 2, 31])
    _visited(whole, 5, 30)
    part, before = whole.excerpt(rows), {name: value.clone() for name, value in whole.state_dict().items()}
    assert torch.equal(part.values.view(Q, 2, 3), whole.values.view(Q, 2, N)[..., rows])
    for column in (0, 1):
        part.read(torch.arange(3), column)
        part.step(torch.tensor([1]), torch.ones(Q, 1, dtype=torch.float64), column)
    part.rest(4)
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())
    for column in (0, 1):
        whole.read(rows, column)
        whole.step(rows[1:2], torch.ones(Q, 1, dtype=torch.float64), column)
    whole.rest(4)
    assert torch.equal(part.values.view(Q, 2, 3), whole.values.view(Q, 2, N)[..., rows])


def test_without_momentum_rows_rest_and_cost_no_more_than_they_hold() -> None:
    plain = InstanceTable(3, 2)
    plain.write(torch.tensor([2, 0]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    plain.freeze(torch.tensor([2]))
    plain.end_epoch()
    assert plain.values.tolist() == [[2, 0, 1], [4, 0, 3]]
    assert set(plain.state_dict()) == {"parameters", "touched"}
