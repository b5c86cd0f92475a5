"""A run of the command, and pictures of a user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bdw import cli

TINY = ["--preset", "digits", "--max-source", "64", "--epochs", "1"]


def fit(run_dir: Path, *flags: str) -> int:
    return cli.main(["fit", "--run-dir", str(run_dir), *flags])


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    assert fit(path, *TINY) == 0
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A user's own pictures: an unlabelled pool with one broken file, and a target with three classes."""
    generator = np.random.default_rng(0)

    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(path)

    for i in range(24):
        write(tmp_path / "pool" / f"{i:02}.png")
    (tmp_path / "pool" / "broken.png").write_bytes(b"not a picture")
    for name in ("cat", "dog", "fox"):
        for i in range(20):
            write(tmp_path / "mine" / name / f"{i}.png")
    return tmp_path / "pool", tmp_path / "mine"
