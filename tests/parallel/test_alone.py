"""A worker that is alone for a while exchanges nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bdw.parallel import collectives
from tests.workers import on_workers


def _by_itself() -> list[float]:
    """Rank 1 sums alone, twice over, while rank 0 calls nothing; then both sum together."""
    found = []
    mine = torch.tensor(1.0 + collectives.rank())
    if collectives.rank() == 1:
        with collectives.alone():
            found += [float(collectives.total(mine)), collectives.rank(), collectives.size()]
            with collectives.alone():
                assert collectives.gather_objects("me") == ["me"]
            assert collectives.size() == 1
    return [*found, float(collectives.total(mine)), collectives.rank(), collectives.size()]


def test_a_worker_alone_exchanges_nothing_and_then_is_one_of_many_again(tmp_path: Path) -> None:
    assert on_workers(2, tmp_path / "results", _by_itself) == [[3, 0, 2], [2, 0, 1, 3, 1, 2]]


def test_it_is_one_of_many_again_after_an_error() -> None:
    def fails() -> None:
        with collectives.alone():
            raise RuntimeError("of the caller")

    with pytest.raises(RuntimeError, match="of the caller"):
        fails()
    assert not collectives._is_alone.get()
