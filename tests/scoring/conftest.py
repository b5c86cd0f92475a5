"""A finished run that learnt weights on the session's problem, and pools of a user's own."""

from __future__ import annotations

import pytest

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.runs.directory import RunDirectory
from bdw.training.trainer import iterate


@pytest.fixture(scope="session")
def finished(problem: Problem, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Four epochs of `counts` by verdicts on 50 grey images of 12 x 12 pixels."""
    path = tmp_path_factory.mktemp("scoring") / "run"
    config = RunConfig().replace(
        run_dir=str(path), image_size=12, crop_size=12, batch_size=16, epochs=4, weighter="counts", weight_lr=3.0,
        meta_loss="pretext", target_batch=8, ways=3, shots=2, queries=2, min_kept=20, device="cpu",
    )  # fmt: skip
    list(iterate(config, problem=problem))
    return RunDirectory(path)
