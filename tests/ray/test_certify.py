"""A certificate whose encoders Ray trains side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bdw import cli


@pytest.mark.long
def test_workers_leave_the_same_certificate(
    local_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scores, seeds and advice of one that this process trained; one encoder was there already."""
    run, other = tmp_path / "run", tmp_path / "other"
    flags = ["--preset", "digits", "--max-source", "64", "--epochs", "2", "--weighter", "counts", "--weight-lr", "3"]
    flags += ["--cdf-threshold", "0.5", "--density-threshold", "0.5", "--min-kept", "20", "--batch-size", "16"]
    assert cli.main(["fit", "--run-dir", str(run), *flags, "--device", "cpu"]) == 0
    shutil.copytree(run, other)
    assert cli.main(["certify", "--run", str(run)]) == 0
    capsys.readouterr()
    shutil.copytree(run / "certificate" / "kept-0", other / "certificate" / "kept-0")
    assert cli.main(["certify", "--run", str(other), "--num-workers", "2"]) == 0
    said = capsys.readouterr().out
    assert "(15 of 15)" in said
    assert "(14 of 15, about " in said
    alone, together = (json.loads((path / "certificate.json").read_text()) for path in (run, other))
    for certificate in (alone, together):
        del certificate["seconds"]
    assert together == alone
    assert not list((other / "certificate").glob("*/checkpoints"))
