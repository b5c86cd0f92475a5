"""`bdw fit --targets`, and `score` for one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from bdw import cli
from tests.commands.conftest import TINY


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A target of dark digits on a bright ground."""
    path, digits = tmp_path_factory.mktemp("other") / "dark.npz", load_digits()
    images = (255 - 15 * digits.images[:400]).clip(0, 255).astype(np.uint8)
    np.savez(path, images=images, labels=digits.target[:400])
    return str(path)


def test_one_command_trains_for_all_and_scores_for_each(
    other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    flags = ["--meta-loss", "pretext", "--target-batch", "8", "--combine-targets", "vote", "--weight-lr", "50"]
    assert cli.main(["fit", "--run-dir", str(run), *TINY, "--targets", "digits", other, *flags]) == 0
    said = capsys.readouterr().out
    assert "target  digits: 10 classes; " in said
    assert f"target  {other}: 10 classes; " in said
    assert "weights beta, vote of 2 targets" in said
    metrics = pd.read_csv(run / "metrics.csv")
    of_each = metrics[["validation_score of digits", f"validation_score of {other}"]].iloc[0]
    assert metrics["validation_score"].iloc[0] == pytest.approx(of_each.mean())
    assert (run / "report.html").is_file()
    out = tmp_path / "scores.parquet"
    assert cli.main(["score", "digits", "--run", str(run), "--target", other, "--out", str(out)]) == 0
    assert len(pd.read_parquet(out)) > 1000
    flags = ["--encoder", str(run / "encoder_for_digits.safetensors"), "--target", "digits"]
    assert cli.main(["evaluate", *flags]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", "--run", str(run), "--target", other]) == 0
    assert f"test images of {other} (10 classes" in capsys.readouterr().out


def test_what_cannot_work_is_one_line(other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["fit", *TINY, "--run-dir", str(tmp_path / "run"), "--targets", "digits"]
    assert cli.main([*fit, "digits"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: targets: ['digits', 'digits'] cannot work; allowed: every target once"
    )
    assert cli.main([*fit, other, "--target-shares", "1", "0"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: target_shares: [1.0, 0.0] cannot work; allowed: a positive number for every target, or none"
    )
    assert cli.main([*fit, other, "--target", "glyphs-greek"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: target: 'glyphs-greek' cannot work; allowed: none beside targets ['digits', '{other}'], or the first "
        "of them"
    )
    assert cli.main([*fit, "no-such-data"]) == 2
    assert "no-such-data" in capsys.readouterr().err.splitlines()[-1]
