"""The scripts of cluster/ before ShellCheck, which knows what bash does with a word that is not quoted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

SHELLCHECK = Path(sys.executable).with_name("shellcheck")
SCRIPTS = sorted((Path(__file__).resolve().parents[2] / "cluster").rglob("*.sh"))


def findings(script: Path) -> str:
    done = subprocess.run([str(SHELLCHECK), "--shell=bash", str(script)], capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    assert findings(script) == ""


@pytest.mark.parametrize("part", ["setup", "run"])
def test_shellcheck_finds_nothing_in_skypilots_commands(part: str, filled: Callable[..., str], tmp_path: Path) -> None:
    script = tmp_path / f"{part}.sh"
    script.write_text(yaml.safe_load(filled("sky.yaml"))[part])
    assert findings(script) == ""


def test_it_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "script.sh").write_text("rm -r $1/cache\n")
    assert "SC2086" in findings(tmp_path / "script.sh")
