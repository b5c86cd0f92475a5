"""SIGTERM to the driver of a sweep, as schedulers and `ray job stop` send it: Ctrl-C by another name."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sweeps.study.driver_record import ATTRIBUTE
from sweeps.study.open_study import open_storage

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_driver_stops_without_a_trace_and_leaves_the_sweep_to_the_next(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    command = [sys.executable, "sweeps/stl10_pruning.py", "--smoke", "--data", "digits", "--name", "sweep"]
    command += ["--storage-path", str(tmp_path), "--concurrency", "1"]
    driver = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert driver.stdout is not None
        # The first epoch of the first trial: Ray runs, Tune waits for the next report.
        said = next(line for line in driver.stdout if line.startswith("search") and "  epoch " in line)
        family = psutil.Process(driver.pid).children(recursive=True)
        assert any(process.name() == "raylet" for process in family)
        driver.send_signal(signal.SIGTERM)
        out, err = driver.communicate(timeout=100)
    finally:
        driver.kill()
        driver.wait()
    assert driver.returncode == 143, said + out + err
    assert err.splitlines()[-1] == "stl10_pruning: stopped by SIGTERM; the same command continues where it was"
    assert "Traceback" not in out + err
    assert "SIGABRT" not in out + err
    deadline = time.monotonic() + 30
    while any(map(is_running, family)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert [process for process in family if is_running(process)] == []
    storage = open_storage(tmp_path / "sweep" / "study.journal")
    found = {study.study_name: study.user_attrs.get(ATTRIBUTE) for study in storage.get_all_studies()}
    assert found["sweep-comparison"] is None  # Nobody drives it.


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
