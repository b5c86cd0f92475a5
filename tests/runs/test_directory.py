"""Where a run may write, and which revision it says that it was computed with."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.runs import directory
from bdw.runs.directory import REVISION_VARIABLE, RunDirectory, git_revision

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_in_a_checkout_git_knows_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REVISION_VARIABLE, "told")
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", git_revision() or "")


def test_an_uploaded_copy_says_what_it_was_told(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "bdw", copy / "bdw", ignore=shutil.ignore_patterns("__pycache__"))
    said = f"""
import os
from bdw.runs.directory import git_revision
for told in ("", "abc-dirty"):
    os.environ[{REVISION_VARIABLE!r}] = told
    print(git_revision())
"""
    environment = {"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin", "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    command = [sys.executable, "-c", said]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "abc-dirty"]


def test_without_git_what_was_told_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REVISION_VARIABLE, "told")
    monkeypatch.setattr(directory.subprocess, "run", lambda *a, **k: (_ for _ in ()).throw(FileNotFoundError))
    assert git_revision() == "told"


def test_a_directory_that_can_be_made_is_claimed_without_a_trace(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "new" / "run").claim(RunConfig())
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        InputError, match=r"run_dir: .*file/run cannot be written \(Not a directory\); allowed: a folder"
    ):
        RunDirectory(tmp_path / "file" / "run").claim(RunConfig())
    with pytest.raises(InputError, match=r"run_dir: .*file is a file; allowed: a new folder"):
        RunDirectory(tmp_path / "file").claim(RunConfig())

    def fails(number: int) -> Any:
        def open_file(*_: Any, **__: Any) -> Any:
            raise OSError(number, "as told")

        return open_file

    for number in (errno.EACCES, errno.EROFS):
        monkeypatch.setattr(tempfile, "TemporaryFile", fails(number))
        with pytest.raises(InputError, match=r"run_dir: .* cannot be written \(as told\)"):
            RunDirectory(tmp_path / "run").claim(RunConfig())
    # A full disk may have room again when something is to be written.
    monkeypatch.setattr(tempfile, "TemporaryFile", fails(errno.ENOSPC))
    RunDirectory(tmp_path / "run").claim(RunConfig())


def test_a_finished_run_without_checkpoints_is_not_written_over(tmp_path: Path) -> None:
    run, config = RunDirectory(tmp_path / "run"), RunConfig()
    run.path.mkdir()
    run.config.write_text(json.dumps({"config": config.flat()}))
    run.claim(config)  # Nothing was computed yet.
    run.results.touch()
    with pytest.raises(InputError, match=r"already holds a finished run; choose another --run-dir$"):
        run.claim(config)
    run.claim(config.replace(resume=True))
    with pytest.raises(InputError, match="holds another run, --resume cannot continue it: seed was 0 and is 7"):
        run.claim(config.replace(resume=True, seed=7))
