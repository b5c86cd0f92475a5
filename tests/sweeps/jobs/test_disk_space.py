"""A machine's disk is freed of runs that nobody writes to, and of no others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.jobs import disk_space
from sweeps.jobs.disk_space import QUIET_SECONDS, make_room
from sweeps.runner import paths

NOW = 2_000_000_000.0
HOUR = 3600.0


def run_of(cache: Path, name: str, hours_ago: float, *, newer_file: float | None = None) -> Path:
    """A run with a checkpoint, all of it so old; `newer_file` is the age of one file deep inside."""
    run = cache / "storage" / "sweep" / "runs" / name
    checkpoint = run / "checkpoints" / "epoch-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(b"x" * 1000)
    (run / "metrics.csv").touch()
    for path in (*run.rglob("*"), run):
        os.utime(path, (NOW - hours_ago * HOUR,) * 2)
    if newer_file is not None:
        os.utime(checkpoint / "model.safetensors", (NOW - newer_file * HOUR,) * 2)
    return run


def disk(cache: Path, free_after: int) -> Callable[[], float]:
    """A disk that is full until so many runs are gone."""
    before = len(list(disk_space.runs(cache)))
    return lambda: 0.9 if before - len(list(disk_space.runs(cache))) < free_after else 0.5


def test_the_oldest_go_first_and_only_as_many_as_needed(tmp_path: Path) -> None:
    old, older, oldest = (run_of(tmp_path, name, hours) for name, hours in (("a", 7), ("b", 30), ("c", 90)))
    assert make_room(tmp_path, share_used=disk(tmp_path, 2), now=NOW) == [oldest, older]
    assert not oldest.exists()
    assert not older.exists()
    assert (old / "metrics.csv").is_file()


def test_runs_that_are_written_to_stay_however_full_the_disk_is(tmp_path: Path) -> None:
    quiet = QUIET_SECONDS / HOUR
    running = run_of(tmp_path, "a", 90, newer_file=quiet - 0.1)
    ended = run_of(tmp_path, "b", 90, newer_file=quiet + 0.1)
    assert make_room(tmp_path, share_used=lambda: 0.99, now=NOW) == [ended]
    assert (running / "checkpoints" / "epoch-3" / "model.safetensors").is_file()


def test_nothing_goes_from_a_disk_with_room(tmp_path: Path) -> None:
    run = run_of(tmp_path, "a", 90)
    assert make_room(tmp_path, share_used=lambda: 0.79, now=NOW) == []
    assert make_room(tmp_path / "none", share_used=lambda: 0.99, now=NOW) == []
    assert run.is_dir()


def test_it_looks_where_sweeps_keep_their_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    run = Path(paths.Paths.of("s3://bucket/sweeps", "mine").run_dir("bdw-1")).expanduser()
    run.mkdir(parents=True)
    assert disk_space.CACHE == paths.CACHE
    assert list(disk_space.runs(Path(disk_space.CACHE).expanduser())) == [run]
    # Runs in a folder that machines share have no copy, and lie elsewhere.
    here = paths.Paths.of(str(tmp_path / "shared"), "mine").run_dir("bdw-1")
    assert not Path(here).is_relative_to(Path(disk_space.CACHE).expanduser())


def test_the_share_of_a_disk(tmp_path: Path) -> None:
    assert 0 < disk_space.used(tmp_path / "not" / "there") < 1
