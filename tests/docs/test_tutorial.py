"""The tutorial's commands, run as they stand there, in the folder of somebody who has just installed bdw."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.docs.test_commands import shown

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
PICTURES = ROOT / "docs" / "pictures" / "tutorial"
RUBBISH = re.compile(r"(noise|blank|stripes|clouds|photo)-")

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after all commands but the installation's."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "docs").symlink_to(ROOT / "docs")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    for command in shown(TUTORIAL):
        if not command.startswith("make "):
            done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return folder / "runs" / "tutorial"


def test_the_pictures_are_those_of_the_page(clone: Path) -> None:
    drawn = sorted(path.name for path in (clone / "pictures").iterdir())
    assert drawn == sorted(path.name for path in PICTURES.iterdir())
    assert sorted(re.findall(r"pictures/tutorial/(\w+\.png)", TUTORIAL.read_text(encoding="utf-8"))) == drawn
    for name in drawn:
        with Image.open(clone / "pictures" / name) as mine, Image.open(PICTURES / name) as theirs:
            assert mine.size == theirs.size


def test_what_the_page_says_of_the_run_holds(clone: Path) -> None:
    weights = pd.read_parquet(clone / "recommended" / "instance_weights.parquet")
    assert len(weights) == 8000
    by_kind = weights.groupby(weights["kind"] == "letter")["kept"].mean()
    assert by_kind[True] > 0.8
    assert by_kind[False] < 0.2
    scores = {
        name: pd.read_parquet(clone / name / "results.parquet").set_index("metric")["value"]["accuracy"]
        for name in ("recommended", "plain")
    }
    assert scores["recommended"] > scores["plain"] + 0.02


def test_new_images_are_scored_and_chosen(clone: Path) -> None:
    scores = pd.read_parquet(clone / "scores.parquet")
    assert len(scores) == 8000
    kept = (clone / "kept.txt").read_text().splitlines()
    assert len(kept) == 800
    assert sum(RUBBISH.match(name) is None for name in kept) > 0.6 * len(kept)
