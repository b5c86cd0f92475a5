"""Which revision a run says that it was computed with, in a checkout and in a copy without history."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bdw.runs import directory
from bdw.runs.directory import REVISION_VARIABLE, git_revision

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
