"""GPUs that a cluster offers and torch cannot use: what reserved one says so, once, and trains on no CPU.

The cluster is real; it is told that its machine has GPUs, where there are none.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.sweeps.conftest import Head, StartHead

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(torch.cuda.is_available(), reason="the GPUs of this machine work"),
]
TOLD = "torch sees no GPU (CUDA_VISIBLE_DEVICES is "


@pytest.fixture(scope="module")
def promising_head(start_head: StartHead) -> Head:
    return start_head("--num-cpus=4", "--num-gpus=2", '--resources={"trial_driver": 4}')


@pytest.mark.parametrize("num_workers", ["1", "2"])
def test_a_run_on_workers(num_workers: str, promising_head: Head, tmp_path: Path) -> None:
    done = promising_head.run(
        *(sys.executable, "-m", "bdw", "fit", "--source", "digits", "--epochs", "1", "--max-source", "200"),
        *("--num-workers", num_workers, "--gpus-per-worker", "1", "--run-dir", str(tmp_path / "run")),
        RAY_ADDRESS=promising_head.gcs,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: gpus_per_worker: 1 GPU reserved on ")
    assert TOLD in done.stderr
    assert done.stderr.count("\n") == 1
    assert "going on" not in done.stdout
    assert not (tmp_path / "run" / "metrics.csv").exists()


@pytest.mark.parametrize("num_workers", ["1", "2"])
def test_a_sweep(num_workers: str, promising_head: Head, tmp_path: Path) -> None:
    done = promising_head.run(
        *(sys.executable, "sweeps/stl10_pruning.py", "--smoke", "--data", "digits"),
        *("--num-workers", num_workers, "--gpus-per-trial", num_workers, "--storage-path", str(tmp_path)),
        RAY_ADDRESS=promising_head.gcs,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("stl10_pruning: gpus_per_trial: 1 GPU reserved on ")
    assert TOLD in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("metrics.csv"))
