"""`bdw fit --data.value-for`, and `score` and `select` for one of these targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bdw
from bdw import cli
from tests.commands.conftest import TINY


@pytest.fixture(scope="module")
def valued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("valued") / "run"
    flags = [*TINY, "--weighter", "uniform", "--data.value-for", "digits", "--meta-loss", "pretext"]
    assert cli.main(["fit", "--run-dir", str(path), *flags, "--target-batch", "8"]) == 0
    return path


def test_images_are_chosen_and_scored_for_a_target(valued: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(valued / "usefulness_digits.parquet")
    assert np.ptp(table["mean"]) > 0
    flags = ["--scores", str(valued / "usefulness_digits.parquet"), "--count", "5", "--out", str(tmp_path / "five.txt")]
    assert cli.main(["select", *flags]) == 0
    chosen = (tmp_path / "five.txt").read_text().split()
    least = table[table["name"].isin(chosen)]["mean"].min()
    assert len(chosen) == 5
    assert (table[~table["name"].isin(chosen)]["mean"] <= least).all()
    out = tmp_path / "scores.parquet"
    assert cli.main(["score", "digits", "--run", str(valued), "--target", "digits", "--out", str(out)]) == 0
    scores = pd.read_parquet(out)
    pd.testing.assert_frame_equal(bdw.score(valued, "digits", target="digits"), scores)
    both = table.merge(scores, on="name", suffixes=("", "_scored"))
    assert len(both) == len(table)
    assert both["mean"].corr(both["mean_scored"]) > 0.3


def test_another_target_is_refused_in_one_line(
    valued: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "scores.parquet")
    assert cli.main(["score", "digits", "--run", str(valued), "--target", "letters", "--out", out]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == ["error: target: 'letters' cannot work: the run did not value its source for it; allowed: 'digits'"]
    assert cli.main(["score", "digits", "--run", str(valued), "--out", out]) == 2
    assert "or --target 'digits', which it valued its source for" in capsys.readouterr().err


def test_the_same_target_twice_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--weighter", "uniform", "--data.value-for", "digits", "digits", "--run-dir", str(tmp_path / "run")]
    assert cli.main(["fit", *TINY, *flags]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: value_for: ['digits', 'digits'] cannot work; allowed: every target once"
    )
