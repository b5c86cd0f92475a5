"""Rows of all workers: values, gradients and tangents against one worker that has them all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from bdw.parallel import collectives
from bdw.pretext.gather import gathered
from bdw.pretext.simclr import nt_xent
from bdw.weighting.gradient.forward_mode import instance_directional_derivatives
from tests.workers import on_workers

ROWS = torch.randn(8, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TANGENTS = torch.randn(8, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
EVEN, UNEVEN = {1: [8], 2: [4, 4], 4: [2, 2, 2, 2]}, {1: [8], 2: [5, 3], 4: [1, 4, 0, 3]}


def _mine(counts: list[int]) -> slice:
    begins = sum(counts[: collectives.rank()])
    return slice(begins, begins + counts[collectives.rank()])


def _seen(counts: list[int]) -> dict[str, Tensor]:
    """NT-Xent of this worker's rows, its gradient by these rows and its tangent."""
    mine = _mine(counts)
    rows = ROWS[mine].clone().requires_grad_()
    everyones, begins = gathered(rows)
    assert begins == mine.start
    losses = nt_xent(rows, 0.5)
    # As in `PretextTask.loss`: the mean over the workers of their totals is the loss.
    (collectives.size() * losses.sum() / len(ROWS)).backward()
    assert rows.grad is not None
    along, at = {"rows": TANGENTS[mine]}, {"rows": ROWS[mine]}
    tangents = instance_directional_derivatives(lambda at: nt_xent(at["rows"], 0.5).mean(dim=1), at, along)
    found = {"losses": losses.detach(), "tangents": tangents}
    # A worker's gradient is divided by their number where gradients are averaged.
    own = {"gradient": rows.grad / collectives.size()}
    return {"everyones": everyones.detach(), **{n: collectives.gather_rows(v) for n, v in {**found, **own}.items()}}


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("parts", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_any_deal_of_the_rows_gives_the_same(workers: int, parts: dict[int, list[int]], tmp_path: Path) -> None:
    expected = _seen(parts[1])
    for result in on_workers(workers, tmp_path / "results", _seen, parts[workers]):
        assert torch.equal(result["everyones"], ROWS)
        for name, value in expected.items():
            torch.testing.assert_close(result[name], value, rtol=1e-9, atol=1e-12)


def _of_kind(dtype: torch.dtype) -> Tensor:
    return gathered(torch.arange(3).to(dtype)[:, None] + 10 * collectives.rank())[0]


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.bfloat16])
def test_numbers_of_any_kind(dtype: torch.dtype, tmp_path: Path) -> None:
    for result in on_workers(2, tmp_path / "results", _of_kind, dtype):
        assert torch.equal(result, torch.tensor([0, 1, 2, 10, 11, 12]).to(dtype)[:, None])


def test_one_worker_exchanges_nothing() -> None:
    found, begins = gathered(ROWS)
    assert found is ROWS
    assert begins == 0
