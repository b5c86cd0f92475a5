"""`bdw score`: what it writes, how it goes on, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import bdw
from bdw import cli
from bdw.commands import score as command
from bdw.scoring import shards

Folders = tuple[Path, Path]


def score(run: Path, pool: object, out: Path, *flags: str) -> int:
    return cli.main(["score", str(pool), "--run", str(run), "--out", str(out), *flags])


def test_images_of_a_users_own(
    run_dir: Path, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.parquet"
    assert score(run_dir, folders[0], out) == 0
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"scorer  correlation \S+ with what its run learnt of 13 held-out.*", said[0])
    assert said[1] == f"pool    {folders[0]}: 25 images"
    assert said[2] == (
        "note    images are cut to their central square and resized to 16 x 16 pixels with 1 channel, as the run's own "
        "were"
    )
    assert said[3] == "unused  1 file(s): 1 .png (not an image in a known format)"
    assert said[4].startswith("scored  24 images in ")
    table = pd.read_parquet(out)
    assert list(table) == ["name", "a", "b", "mean", "low", "high", "rank", "filepath"]
    assert table["filepath"].tolist() == [str(Path(folders[0]).resolve() / name) for name in table["name"]]
    assert table["name"].tolist() == [f"{i:02}.png" for i in range(24)]
    assert sorted(table["rank"]) == list(range(1, 25))
    assert table.sort_values("rank")["mean"].is_monotonic_decreasing
    np.testing.assert_allclose(table["mean"], table["a"] / (table["a"] + table["b"]), rtol=1e-12)
    assert ((table["low"] <= table["mean"]) & (table["mean"] <= table["high"])).all()
    assert not out.with_name("scores.parquet.parts").exists()
    pd.testing.assert_frame_equal(bdw.score(run_dir, str(folders[0])), table)


def test_scores_train_the_next_run(run_dir: Path, folders: Folders, tmp_path: Path) -> None:
    """The folder beside which they lie may be that of a run on another source."""
    run = tmp_path / "run"
    shutil.copytree(run_dir, run)
    out = run / "scores.parquet"
    assert score(run, folders[0], out) == 0
    flags = ["--preset", "digits", "--source", str(folders[0]), "--target", str(folders[1]), "--epochs", "1"]
    flags += [
        "--weighter",
        "given",
        "--weights-file",
        str(out),
        "--ways",
        "3",
        "--batch-size",
        "8",
        "--run-dir",
        str(tmp_path / "next"),
    ]
    assert cli.main(["fit", *flags, "--run-dir", str(tmp_path / "next")]) == 0
    used = pq.read_table(tmp_path / "next" / "instance_weights.parquet")["mean"].to_pylist()
    assert used == pq.read_table(out)["mean"].to_pylist()


def test_a_packed_pool_of_another_size_is_converted(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = tmp_path / "packed"
    assert cli.main(["pack", "digits", str(packed), "--image-size", "8"]) == 0
    capsys.readouterr()
    assert score(run_dir, packed, tmp_path / "scores.parquet") == 0
    expected = "images of 8 x 8 pixels with 1 channel are converted to 16 x 16 pixels with 1 channel, as the run's own"
    assert capsys.readouterr().out.count(expected) == 1


def test_it_goes_on_where_it_was_interrupted(
    run_dir: Path,
    folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in (shards, command):
        monkeypatch.setattr(module, "SHARD", 10)
    whole, out = tmp_path / "whole.parquet", tmp_path / "scores.parquet"
    assert score(run_dir, folders[0], whole) == 0
    real, scored = shards.score_shard, []

    def until_the_third(part: Any, rows: range, *rest: Any) -> shards.ScoredShard:
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(rows)
        return real(part, rows, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(command, "score_shard", until_the_third)
        assert score(run_dir, folders[0], out) == 130
    parts = sorted(path.name for path in (tmp_path / "scores.parquet.parts").iterdir())
    assert "stopped; the same command goes on" in capsys.readouterr().out
    assert parts == ["part-000000.parquet", "part-000001.parquet", "plan.json"]
    # Not with another pool; nor may what is there be taken for its scores.
    assert score(run_dir, folders[1], out) == 2
    assert "scores.parquet.parts holds parts of other scores" in capsys.readouterr().err
    assert score(run_dir, folders[0], out) == 0
    assert "note    2 of 3 parts were there already" in capsys.readouterr().out
    assert pq.read_table(out).equals(pq.read_table(whole))


def test_a_pool_without_a_readable_image_is_one_line(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.png").write_bytes(b"no picture")
    assert score(run_dir, tmp_path / "pool", tmp_path / "s.parquet") == 2
    assert "pool: none of its 1 images can be read: not an image in a known format" in capsys.readouterr().err
    assert not (tmp_path / "s.parquet").exists()


def test_what_cannot_work_is_one_line(
    run_dir: Path, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, out = folders[0], tmp_path / "s.parquet"

    def refused(*arguments: Any) -> str:
        assert score(*arguments) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        return said

    assert "run: " in refused(tmp_path / "none", pool, out)
    assert "pool: 'nowhere/pool' does not exist" in refused(run_dir, "nowhere/pool", out)
    assert "ends in '.csv'; allowed: .parquet" in refused(run_dir, pool, tmp_path / "s.csv")
    assert "num_workers: 0 cannot work" in refused(run_dir, pool, out, "--num-workers", "0")
    assert "device: 'tpu' is not known" in refused(run_dir, pool, out, "--device", "tpu")
    out.write_bytes(b"")
    assert f"out: {out} already exists" in refused(run_dir, pool, out)
    out.unlink()
    run = tmp_path / "run"
    shutil.copytree(run_dir, run)
    (run / "results.parquet").unlink()
    assert "has not finished; allowed: a finished run" in refused(run, pool, out)
    shutil.copy(run_dir / "results.parquet", run)
    (run / "scorer.safetensors").unlink()
    assert "holds no scorer.safetensors" in refused(run, pool, out)
    described = json.loads((run / "config.json").read_text())
    described["config"]["weighter"] = "uniform"
    (run / "config.json").write_text(json.dumps(described))
    assert "never learnt weights (weighter 'uniform')" in refused(run, pool, out)
    assert not list(tmp_path.glob("s.parquet*")), "nothing was begun"
