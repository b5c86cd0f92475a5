"""Shards scored by Ray's workers: the same scores, and one line for what they cannot do."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bdw import cli
from bdw.commands import score as command
from bdw.errors import InputError
from bdw.ray.score import score_on_workers
from bdw.runs.directory import RunDirectory
from bdw.scoring import shards
from bdw.scoring.pool import Pool, as_of_run, open_pool
from bdw.scoring.scorer import ScorerFiles


@pytest.mark.long
def test_workers_give_the_same_scores(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    fit = ["fit", "--preset", "digits", "--max-source", "64", "--epochs", "1", "--no-report", "--run-dir", str(run)]
    assert cli.main(fit) == 0
    monkeypatch.setattr("bdw.ray.score.running_ray", lambda **_: contextlib.nullcontext())
    for module in (shards, command):
        monkeypatch.setattr(module, "SHARD", 300)
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"

    def score(out: Path, *flags: str) -> int:
        return cli.main(["score", "digits", "--run", str(run), "--out", str(out), *flags])

    assert score(here) == 0
    assert score(there, "--num-workers", "2") == 0
    assert pq.read_table(there).equals(pq.read_table(here))
    # A machine on which the pool is another one.
    directory = RunDirectory(run)
    request = as_of_run(directory, "digits", data_root=None, download=False, data_seed=None)
    pool: Any = open_pool(request)
    other = Pool(pool.part.select(range(5)), "")
    with pytest.raises(InputError, match="holds other images on a worker's machine than here"):
        list(score_on_workers(ScorerFiles.of(directory), request, other, [(0, range(5))], 1))
