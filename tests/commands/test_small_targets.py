"""A target of a few classes and images, with the presets for one's own images."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands.conftest import fit

QUICK = ["--encoder", "small_cnn", "--image-size", "12", "--crop-size", "12", "--batch-size", "8", "--epochs", "1"]


def own_images(folders: tuple[Path, Path]) -> list[str]:
    """Flags for 24 images, and 3 classes of 20 of which 12 are for training."""
    pool, mine = folders
    return ["--source", str(pool), "--target", str(mine), "--no-report", *QUICK]


def test_the_episode_shrinks_to_the_target(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*own_images(folders), "--preset", "pictures", "--max-train-per-class", "6"]
    assert fit(tmp_path / "run", *flags) == 0
    (line,) = re.findall(r"note +ways.*", capsys.readouterr().out)
    assert line == (
        "note    ways 3 for 10, shots 3 for 5, queries 3 for 5: the target has 3 classes and 18 training images, "
        "6 in the smallest class"
    )
    assert fit(tmp_path / "other", *flags, "--shots=5", "--meta.queries", "5") == 2
    assert re.match(r"error: shots \+ queries .*5 \+ 5 = 10 .*\n$", capsys.readouterr().err)


def test_the_target_batch_shrinks_to_the_target(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*own_images(folders), "--max-train-per-class", "2"]
    assert fit(tmp_path / "run", *flags) == 0
    output = capsys.readouterr().out
    assert "\nnote    target_batch 6 for 16: the target has 3 classes and 6 training images, 2 in the " in output
    assert "8 source images a step (8 a worker), 6 target images a meta-batch" in output
    assert fit(tmp_path / "other", *flags, "--meta.target-batch", "16") == 2
    assert capsys.readouterr().err == "error: target_batch: 16 is more than the target's 6 training images\n"
