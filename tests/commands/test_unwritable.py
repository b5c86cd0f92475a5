"""A run directory that nobody may write to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bdw.data import packing
from tests.commands.conftest import fit


@pytest.mark.skipif(sys.platform != "linux", reason="takes a folder that even the superuser cannot write to")
def test_an_unwritable_run_directory_is_refused_before_anything_is_packed(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packing, "write_part", lambda *_: pytest.fail("something was packed"))
    pool, mine = folders
    cache = ["--cache-dir", str(tmp_path / "cache")]
    assert fit(Path("/proc/nowhere/run"), "--source", str(pool), "--target", str(mine), *cache) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: run_dir: /proc/nowhere/run cannot be written (")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "cache").exists()
