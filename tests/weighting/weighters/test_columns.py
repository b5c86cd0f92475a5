"""Several weights of an instance: a weighter of c columns learns as c weighters of one do, and weights of tasks alone
are the same for all instances."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import WeighterConfig
from bdw.data.batches import local_part
from bdw.parallel import collectives
from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.counts import CountsWeighter
from bdw.weighting.weighters.equal_loss import EqualLoss
from bdw.weighting.weighters.per_task import PerTask
from bdw.weighting.weighters.point import PointWeighter
from bdw.weighting.weighters.protocol import HasColumns, Weighter
from bdw.weighting.weighters.self_normalised import SelfNormalised
from tests.workers import on_workers

N, C, K = 20, 3, 6
CLASSES: dict[str, Callable[..., Any]] = {"beta": BetaWeighter, "counts": CountsWeighter, "point": PointWeighter}
every_class = pytest.mark.parametrize("name", CLASSES)


def _weighter(name: str, instances: int = N, columns: int = C, **fields: Any) -> Any:
    config = WeighterConfig(weighter=name, weight_lr=0.5, **fields)
    return CLASSES[name].from_config(config, instances, columns)


def _batches(steps: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randperm(N, generator=generator)[:K] for _ in range(steps)]
    return [(each, torch.randn(K, C, generator=generator, dtype=torch.float64)) for each in rows]


@pytest.fixture
def means_for_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributions.Beta, "rsample", lambda self: self.mean)


@every_class
@pytest.mark.usefixtures("means_for_draws")
def test_columns_learn_as_weighters_of_their_own(name: str) -> None:
    """The norm to which point weights' gradients are cut is that of all columns, and too large to matter here."""
    together, alone = _weighter(name), [_weighter(name, columns=1) for _ in range(C)]
    for rows, gradient in _batches(12):
        sample = together.sample(rows, torch.Generator())
        assert sample.weights.shape == (K, C)
        together.update(sample, gradient)
        for column, single in enumerate(alone):
            own = single.sample(rows, torch.Generator())
            assert torch.equal(sample.weights[:, column].detach(), own.weights.detach())
            single.update(own, gradient[:, column])
    for each in (together, *alone):
        each.end_epoch()
    useless = together.useless_columns()
    assert useless.shape == (N, C)
    for column, (table, single) in enumerate(zip(together.column_tables(), alone, strict=True)):
        for quantity, values in vars(single.table()).items():
            np.testing.assert_array_equal(getattr(table, quantity), values)
        np.testing.assert_array_equal(useless[:, column], single.useless())
    np.testing.assert_allclose(together.table().mean, np.mean([each.table().mean for each in alone], axis=0))
    np.testing.assert_array_equal(together.useless(), useless.all(axis=1))


def test_every_column_moves_by_the_derivative_of_its_own_draw() -> None:
    """dw/d log a = -a (dF/da) / pdf at the draw, by finite differences of scipy's distribution function."""
    weighter, rows = _weighter("beta"), torch.arange(K)
    start = torch.randn(2, C * N, generator=torch.Generator().manual_seed(0), dtype=torch.float32) / 2
    weighter.instances.values.copy_(start)
    sample = weighter.sample(rows, torch.Generator().manual_seed(1))
    gradient = torch.linspace(-1, 2, K * C, dtype=torch.float64).view(K, C)
    weighter.update(sample, gradient)
    a, b = start.double().exp().view(2, C, N)[..., :K].mT.numpy()
    w, h = sample.weights.detach().numpy(), 1e-5
    density = scipy.stats.beta(a, b).pdf(w)
    for quantity, moved in enumerate((a, b)):
        up, down = (scipy.stats.beta(*_changed(a, b, quantity, 1 + sign * h)).cdf(w) for sign in (1, -1))
        derivative = -(up - down) / (2 * h) / density
        assert moved.shape == (K, C)
        found = weighter.instances.values[quantity].double().view(C, N)[:, :K].T.numpy()
        expected = start[quantity].double().view(C, N)[:, :K].T.numpy() - 0.5 * gradient.numpy() * derivative
        # torch's own derivative of a Beta draw is exact to about four digits.
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)


def _changed(
    a: NDArray[np.float64], b: NDArray[np.float64], quantity: int, factor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (a * factor, b) if quantity == 0 else (a, b * factor)


_GRADIENT = torch.tensor([[-0.05, -0.1, -0.05]] * 2, dtype=torch.float64)


@every_class
def test_a_column_that_is_frozen_stays_while_others_move(name: str) -> None:
    weighter, rows = _weighter(name), torch.tensor([2, 5])
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        weighter.update(weighter.sample(rows, generator), _GRADIENT)
    weighter.freeze_column(torch.tensor([5]), 1)
    before = [table.mean.copy() for table in weighter.column_tables()]
    for _ in range(4):
        weighter.update(weighter.sample(rows, generator), _GRADIENT * torch.tensor([[1, 1, 1], [1, 0, 1]]))
    weighter.end_epoch()
    after = [table.mean for table in weighter.column_tables()]
    assert after[1][5] == before[1][5]
    assert after[1][2] > before[1][2]
    assert after[0][5] > before[0][5]


@pytest.mark.parametrize("wrapper", [EqualLoss, SelfNormalised])
def test_wrapped_weighters_have_columns(wrapper: Callable[[Weighter], Any]) -> None:
    wrapped = wrapper(_weighter("beta"))
    assert isinstance(wrapped, HasColumns)
    sample = wrapped.sample(torch.arange(K), torch.Generator().manual_seed(0))
    assert sample.weights.shape == (K, C)
    assert float(sample.weights.mean()) == pytest.approx(1)
    wrapped.update(sample, torch.ones(K, C, dtype=torch.float64).cumsum(dim=1) - 1.5)
    assert len(wrapped.column_tables()) == C
    assert np.ptp([table.mean[0] for table in wrapped.column_tables()]) > 0


@every_class
@pytest.mark.parametrize("equal_loss", [False, True])
def test_weights_of_tasks_are_one_draw_and_learn_from_the_sum(name: str, equal_loss: bool) -> None:
    inner = _weighter(name, instances=1)
    inner.end_epoch()
    weighter: Any = PerTask(inner, N)
    weighter = EqualLoss(weighter) if equal_loss else weighter
    twin = _weighter(name, instances=1)
    generator = torch.Generator().manual_seed(5)
    for rows, gradient in _batches(4):
        seed = int(torch.randint(2**62, (1,), generator=generator.clone_state()))
        expected = twin.sample(torch.tensor([0]), torch.Generator().manual_seed(seed))
        sample = weighter.sample(rows, generator)
        if not equal_loss:
            assert torch.equal(sample.weights, expected.weights.detach().expand(K, C))
        weighter.update(sample, gradient)
        twin.update(expected, gradient.sum(dim=0, keepdim=True))
    for found, one in zip(weighter.column_tables(), twin.column_tables(), strict=True):
        np.testing.assert_array_equal(found.mean, np.repeat(one.mean, N))
    assert weighter.table().mean.shape == (N,)


def test_the_best_task_that_is_left_stays_and_a_restored_weighter_knows_which() -> None:
    config = {"cdf_threshold": 0.3, "density_threshold": 0.35}
    weighter, restored = (PerTask(_weighter("beta", instances=1, **config), N) for _ in range(2))
    weighter.inner.instances.values.copy_(torch.tensor([[-1.0, -2.0, -3.0], [1.0, 1.0, 1.0]]))
    assert weighter.useless_columns()[0].tolist() == [False, True, True]
    weighter.freeze_column(torch.arange(N), 0)
    restored.load_state_dict(weighter.state_dict())
    for each in (weighter, restored):
        assert each.useless_columns()[7].tolist() == [True, False, True]
        assert not each.useless().any()


def _of_tasks() -> dict[str, Tensor]:
    weighter = PerTask(_weighter("beta", instances=1), N)
    generator, drawn = torch.Generator().manual_seed(collectives.rank()), []
    for rows, gradient in _batches(5):
        mine = slice(*_bounds())
        sample = weighter.sample(rows[mine], generator)
        drawn.append(sample.weights[0].detach())
        weighter.update(sample, gradient[mine])
    weighter.end_epoch()
    return {"drawn": torch.stack(drawn), **weighter.state_dict()}


def _bounds() -> tuple[int, int]:
    mine = local_part(torch.arange(K), collectives.rank(), collectives.size())
    return int(mine[0]), int(mine[-1]) + 1


def test_two_workers_draw_the_same_weights_of_tasks_and_end_where_one_does(tmp_path: Path) -> None:
    expected = _of_tasks()
    for found in on_workers(2, tmp_path / "results", _of_tasks):
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-7)
