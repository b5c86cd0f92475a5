"""`ray job submit sweeps/stl10_pruning.py`, literally and with an uploaded working directory, on our own cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Head

SMALLEST = ["--smoke", "--samples", "1", "--epochs", "1", "--data", "digits", "--targets", "digits"]

pytestmark = pytest.mark.timeout(600)


def test_literally(head: Head, tmp_path: Path) -> None:
    done = head.ray_job_submit("--", "sweeps/stl10_pruning.py", *SMALLEST, "--storage-path", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    report = tmp_path / "stl10_pruning-digits-smoke" / "report.html"
    assert f"report: {report}" in done.stdout
    assert report.is_file()


@pytest.mark.long
def test_with_an_uploaded_working_directory(head: Head) -> None:
    done = head.ray_job_submit("--working-dir", ".", "--", "python", "sweeps/stl10_pruning.py", *SMALLEST)
    assert done.returncode == 0, done.stdout + done.stderr
    # The uploaded folder goes with the job, so that results are kept in the home directory.
    report = head.home / "bdw-sweeps" / "stl10_pruning-digits-smoke" / "report.html"
    assert f"report: {report}" in done.stdout
    assert report.is_file()


@pytest.mark.long
def test_the_jobs_failure_is_the_commands(head: Head) -> None:
    done = head.ray_job_submit("--", "sweeps/stl10_pruning.py", "--data", "nonsense")
    assert done.returncode != 0
    assert "data: 'nonsense' is not known" in done.stdout + done.stderr
