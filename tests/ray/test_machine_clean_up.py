"""Checkpoints on the disks of all machines go, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from bdw.ray.machine_clean_up import delete_here, delete_on_every_machine


def a_run(folder: Path) -> Path:
    checkpoint = folder / "checkpoints" / "epoch_0001"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.pt").write_text("state")
    (folder / "metrics.csv").write_text("metrics")
    return folder


def left(run: Path) -> list[str]:
    return [path.name for path in run.iterdir()]


def test_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    mine, other = a_run(tmp_path / "runs/mine"), a_run(tmp_path / "runs/other")
    delete_here(["~/runs/mine/checkpoints", "~/runs/elsewhere/checkpoints"])
    assert left(mine) == ["metrics.csv"]
    assert sorted(left(other)) == ["checkpoints", "metrics.csv"]
    (tmp_path / "file").touch()
    delete_here([str(tmp_path / "file" / "checkpoints"), "~/runs/other/checkpoints"])
    assert "could not delete the checkpoints" in caplog.text
    assert left(other) == ["metrics.csv"], "one that cannot be deleted keeps no other back"


@pytest.mark.usefixtures("local_ray")
def test_a_task_of_every_machine(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    tasks = delete_on_every_machine([str(run / "checkpoints")])
    assert len(tasks) == 1
    ray.get(tasks)
    assert left(run) == ["metrics.csv"]
