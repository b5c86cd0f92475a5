"""`ray job submit sweeps/stl10_pruning.py`, literally and with an uploaded working directory, on our own cluster."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALLEST = ["--smoke", "--samples", "1", "--epochs", "1", "--targets", "digits"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Head:
    """A cluster started with `ray start --head` in the repository's root."""

    environment: dict[str, str]
    home: Path

    def submit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["ray", "job", "submit", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False, timeout=400
        )


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    # Socket paths may not be longer than 107 bytes, so no folder of pytest's.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    port, dashboard, agent, metrics, client = free_ports(5)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_", "PYTHONPATH"))} | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        # Only the dashboard stays on loopback; Ray's other ports are open to the network, so nobody else may know this.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ADDRESS": f"http://127.0.0.1:{dashboard}",
    }
    (folder / "home").mkdir()
    log = (folder / "head.log").open("w+")
    started = subprocess.Popen(
        [
            *("ray", "start", "--head", "--block", "--num-cpus=2"),
            *("--include-dashboard=true", "--dashboard-host=127.0.0.1"),
            *(f"--port={port}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"),
            *(f"--metrics-export-port={metrics}", f"--ray-client-server-port={client}"),
            *(f"--temp-dir={folder / 't'}", f"--object-store-memory={128 * 2**20}"),
        ],
        cwd=ROOT,
        env={key: value for key, value in environment.items() if key != "RAY_ADDRESS"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for_port(dashboard, started, log.name)
        yield Head(environment, folder / "home")
    finally:
        stop_with_children(started)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


def wait_for_port(port: int, started: subprocess.Popen[bytes], log: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and started.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    pytest.fail(f"the head's job server did not come up:\n{Path(log).read_text()}")


def stop_with_children(started: subprocess.Popen[bytes]) -> None:
    """`ray start --block` may leave its daemons behind; these and no others are stopped."""
    own = [psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)]
    started.terminate()
    _, alive = psutil.wait_procs(own, timeout=10)
    for process in alive:
        process.kill()
    started.wait()


def test_literally(head: Head, tmp_path: Path) -> None:
    done = head.submit("--", "sweeps/stl10_pruning.py", *SMALLEST, "--storage-path", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    report = tmp_path / "stl10_pruning-digits-smoke" / "report.html"
    assert f"report: {report}" in done.stdout
    assert report.is_file()


def test_with_an_uploaded_working_directory(head: Head) -> None:
    done = head.submit("--working-dir", ".", "--", "python", "sweeps/stl10_pruning.py", *SMALLEST)
    assert done.returncode == 0, done.stdout + done.stderr
    # The uploaded folder goes with the job, so that results are kept in the home directory.
    report = head.home / "bdw-sweeps" / "stl10_pruning-digits-smoke" / "report.html"
    assert f"report: {report}" in done.stdout
    assert report.is_file()


def test_the_jobs_failure_is_the_commands(head: Head) -> None:
    done = head.submit("--", "sweeps/stl10_pruning.py", "--data", "nonsense")
    assert done.returncode != 0
    assert "data: 'nonsense' is not known" in done.stdout + done.stderr
