"""The benchmark of time budgets runs, and says what a run did."""

from __future__ import annotations

from pathlib import Path

import pytest

from bdw.config import RunConfig
from bdw.data import load
from benchmarks.studies.time_budget import run


def test_a_run_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = RunConfig().replace(**{"epochs": 2, "max_source": 64, "batch_size": 32, "device": "cpu", "shots": 2})
    problem = load(base.data, tmp_path)
    whole = run(base.replace(run_dir=str(tmp_path / "whole")), problem)
    assert (whole["budget"], whole["epochs"], whole["meta_every"]) == (None, 2, [1, 1])
    assert whole["target_instances"] == 2 * 2 * 10 * (2 + 5)
    hurried = run(base.replace(run_dir=str(tmp_path / "hurried"), time_budget=1e-4), problem)
    assert (hurried["budget"], hurried["epochs"], hurried["meta_every"]) == (pytest.approx(0.006), 1, [0])
    lines = capsys.readouterr().out.splitlines()
    assert "2 epochs, learning every 2 x 1 steps from 70 images on average" in lines[0]
    assert "1 epochs, learning every 1 x 0 steps from 0 images on average" in lines[1]
