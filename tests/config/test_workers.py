"""How many GPUs a worker may have."""

from __future__ import annotations

import pytest

from bdw.config import WorkersConfig
from bdw.errors import InputError


@pytest.mark.parametrize(
    ("num_workers", "gpus"), [(1, 0.25), (1, 0.5), (1, 1), (1, 2), (2, 0), (2, 0.6), (2, 1), (4, 2), (None, 0.5)]
)
def test_shares_of_gpus_that_work(num_workers: int | None, gpus: float) -> None:
    assert WorkersConfig(num_workers=num_workers, gpus_per_worker=gpus).gpus_per_worker == gpus


@pytest.mark.parametrize("gpus", [0.5, 0.25])
def test_two_workers_do_not_share_a_gpu(gpus: float) -> None:
    """NCCL refuses two ranks on one GPU; above a half, no two fit."""
    with pytest.raises(InputError) as caught:
        WorkersConfig(num_workers=2, gpus_per_worker=gpus)
    assert str(caught.value) == (
        f"gpus_per_worker: {gpus} of a GPU for each of 2 workers cannot work, since NCCL refuses two workers on one "
        "GPU; allowed: 0, or a GPU for each worker"
    )
    with pytest.raises(InputError, match="NCCL"):  # It may grow.
        WorkersConfig(num_workers=2, min_workers=1, gpus_per_worker=gpus)


def test_one_and_a_half_gpus_are_refused() -> None:
    """Ray takes whole GPUs above one."""
    with pytest.raises(
        InputError, match=r"gpus_per_worker: 1.5 GPUs for a worker .*; allowed: up to 1, or a whole number"
    ):
        WorkersConfig(num_workers=1, gpus_per_worker=1.5)
