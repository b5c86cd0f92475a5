"""`bdw fit --resume` on a folder that got more pictures since the run finished."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bdw import cli


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def images_seen(run: Path) -> int:
    return max(pq.read_table(run / "results.parquet")["instances_seen"].to_pylist())


def test_new_files_get_weights_and_old_ones_keep_theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(40):
        picture(tmp_path / "pool" / f"{i:02}.png", i)
    for name in ("cat", "dog"):
        for i in range(20):
            picture(tmp_path / "mine" / name / f"{i}.png", 100 + i)
    run = tmp_path / "run"
    command = ["fit", "--preset", "digits", "--source", str(tmp_path / "pool"), "--target", str(tmp_path / "mine")]
    command += ["--weighter", "counts", "--weight-lr", "3", "--epochs", "2", "--batch-size", "8", "--ways", "2"]
    command += ["--min-kept", "10", "--run-dir", str(run)]
    assert cli.main(command) == 0
    before = pq.read_table(run / "instance_weights.parquet").to_pydict()
    assert before["name"] == [f"{i:02}.png" for i in range(40)]
    for i in range(5):
        picture(tmp_path / "pool" / f"{i:02}-new.png", 200 + i)
    capsys.readouterr()
    assert cli.main([*command, "--resume"]) == 0
    after = pq.read_table(run / "instance_weights.parquet").to_pydict()
    assert after["name"] == [*before["name"], *(f"{i:02}-new.png" for i in range(5))]
    assert after["a"][:40] == before["a"]
    assert after["kept"][:40] == before["kept"]
    assert all(a > 0 and b > 0 and (a, b) != (1, 1) for a, b in zip(after["a"][40:], after["b"][40:], strict=True))
    seen = images_seen(run)
    assert cli.main([*command, "--resume", "--epochs", "3"]) == 0
    assert images_seen(run) == seen + sum(after["kept"]), "a longer run trains on all that is kept, new ones among them"
    (tmp_path / "pool" / "00.png").unlink()
    assert cli.main([*command, "--resume", "--epochs", "4"]) == 2
    assert "was trained on other images" in capsys.readouterr().err
