"""Paths that are not UTF-8, and consoles that are not: a whole run leaves all of its files."""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import bdw
from bdw import cli
from bdw.runs.export import read_table
from tests.commands.conftest import fit

ODD = os.fsdecode(b"-\xfc")
QUICK = ["--encoder", "small_cnn", "--image-size", "12", "--crop-size", "12", "--batch-size", "8", "--epochs", "1"]


def ascii_console(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What goes to the console, which knows ASCII only from now on."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", write_through=True))
    return written


def test_a_run_among_odd_names_leaves_everything(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = ascii_console(monkeypatch)
    pool, mine = (folder.rename(f"{folder}{ODD}") for folder in folders)
    (pool / "broken.png").rename(pool / f"broken{ODD}.png")
    (mine / "fox").rename(mine / f"fox{ODD}")
    shutil.copy(pool / "00.png", pool / "größe 漢.png")
    run = tmp_path / f"run{ODD}"
    assert fit(run, "--source", str(pool), "--target", str(mine), *QUICK) == 0
    assert "such as broken-\\xfc.png; all are listed in" in console.getvalue().decode("ascii")
    files = {"config.json", "encoder.safetensors", "instance_weights.parquet", "metrics.csv", "results.parquet"}
    assert files | {"report.html"} <= {path.name for path in run.iterdir()}
    with (run / "instance_weights.parquet").open("rb") as file:
        assert "größe 漢.png" in pq.read_table(file)["name"].to_pylist()
    row = read_table(run / "results.parquet").to_pylist()[0]
    assert (row["run"], row["domain"]) == (f"{tmp_path}/run-\\xfc", f"{tmp_path}/mine-\\xfc")
    assert "run-\\xfc" in (run / "report.html").read_text(encoding="utf-8")
    assert bdw.load_encoder(run / "encoder.safetensors")[1].crop_size == 12
    # What is read again is found.
    assert cli.main(["evaluate", "--run", str(run)]) == 0
    assert cli.main(["report", str(run)]) == 0
    weights = ["--weighter", "given", "--weights-file", str(run / "instance_weights.parquet"), "--no-report"]
    assert fit(tmp_path / "given", "--source", str(pool), "--target", str(mine), *QUICK, *weights) == 0


def test_pack_names_what_it_skipped(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = ascii_console(monkeypatch)
    pool, _ = folders
    (pool / "broken.png").rename(pool / "größe 漢.png")
    assert cli.main(["pack", str(pool), str(tmp_path / f"out{ODD}"), "--image-size", "8"]) == 0
    assert "skipped gr\\xf6\\xdfe \\u6f22.png: not an image" in console.getvalue().decode("ascii")
