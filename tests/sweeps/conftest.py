"""Clusters of the tests' own, started with `ray start --head`, and a job server without a cluster."""

from __future__ import annotations

import contextlib
import http.server
import importlib.metadata
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from bdw.ray.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Head:
    """A cluster's head that runs in the repository's root."""

    environment: dict[str, str]
    home: Path
    dashboard: str
    gcs: str

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command of a user of this cluster."""
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )

    def ray_job_submit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("ray", "job", "submit", *arguments)


StartHead = Callable[..., Head]


@pytest.fixture(scope="module")
def start_head() -> Iterator[StartHead]:
    """Call it for a head with more arguments of `ray start`; all are gone when the module's tests are."""
    with contextlib.ExitStack() as heads:

        def start(*arguments: str, **options: Any) -> Head:
            return heads.enter_context(running_head(arguments, **options))

        yield start


@pytest.fixture(scope="module")
def head(start_head: StartHead) -> Head:
    return start_head("--num-cpus=2")


@contextlib.contextmanager
def running_head(
    arguments: Sequence[str], *, autoscaling: dict[str, Any] | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[Head]:
    # Socket paths may not be longer than 107 bytes, so no folder of pytest's.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    port, dashboard, agent, metrics, client = free_ports(5)
    address = f"http://127.0.0.1:{dashboard}"
    gcs = f"{own_address()}:{port}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_", "PYTHONPATH"))} | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        # Only the dashboard stays on loopback; Ray's other ports are open to the network, so nobody else may know this.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    (folder / "home").mkdir()
    if autoscaling is not None:
        autoscaling = autoscaling | {"provider": autoscaling["provider"] | {"gcs_address": gcs}}
        (folder / "autoscaling.json").write_text(json.dumps(autoscaling))
        arguments = [*arguments, f"--autoscaling-config={folder / 'autoscaling.json'}"]
    log = (folder / "head.log").open("w+")
    started = subprocess.Popen(
        [
            *("ray", "start", "--head", "--block"),
            *("--include-dashboard=true", "--dashboard-host=127.0.0.1"),
            *(f"--port={port}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"),
            *(f"--metrics-export-port={metrics}", f"--ray-client-server-port={client}"),
            *(f"--temp-dir={folder / 't'}", f"--object-store-memory={128 * 2**20}"),
            *arguments,
        ],
        cwd=ROOT,
        env=environment | dict(variables or {}),
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for_port(dashboard, started, log.name)
        yield Head(environment | {"RAY_ADDRESS": address}, folder / "home", address, gcs)
    finally:
        stop_with_children(started, folder)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def own_address() -> str:
    """Under which Ray's processes on this machine know each other."""
    import ray

    address: str = ray.util.get_node_ip_address()
    return address


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


def stop_with_children(started: subprocess.Popen[bytes], folder: Path) -> None:
    """`ray start --block` may leave its daemons behind; these and no others are stopped.

    Nodes of a fake autoscaler outlive it without a parent, but name this cluster's folder on their command lines.
    """
    own = {psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)} | naming(folder)
    started.terminate()
    _, alive = psutil.wait_procs(own, timeout=10)
    for process in {*alive, *naming(folder)}:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    started.wait()


def naming(folder: Path) -> set[psutil.Process]:
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(str(folder) in part for part in process.cmdline()):
                found.add(process)
    return found


class RecordingServer(http.server.ThreadingHTTPServer):
    """Answers as a job server as far as Ray's client asks before and when it submits, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Recorder)
        self.ray_version = importlib.metadata.version("ray")
        self.answers: dict[str, tuple[int, str]] = {}
        """Status and text by path, instead of what a job server would answer."""
        self.delay = threading.Event()
        """An answer waits for it."""
        self.delay.set()
        self.uploads: list[bytes] = []
        self.jobs: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Recorder(http.server.BaseHTTPRequestHandler):
    server: RecordingServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, status: int, text: str = "") -> None:
        self.server.delay.wait(60)
        status, text = self.server.answers.get(self.path, (status, text))
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def do_GET(self) -> None:
        if self.path == "/api/version":
            self.answer(200, json.dumps({"version": "4", "ray_version": self.server.ray_version}))
        else:
            self.answer(404)

    def do_PUT(self) -> None:
        self.server.uploads.append(self.body())
        self.answer(200)

    def do_POST(self) -> None:
        job = json.loads(self.body())
        self.server.jobs.append(job)
        self.answer(200, json.dumps({"job_id": "", "submission_id": job.get("submission_id", "some")}))


@pytest.fixture
def recording_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingServer]:
    # Ray's client prefers these to the address that it is given.
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    server = RecordingServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.delay.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Callable[[list[str]], None], list[str], str], str]:
    """Call it with an entry's main, arguments and name: the one line with which these are refused, with status 2."""
    from sweeps.runner import command_line

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def refuse(main: Callable[[list[str]], None], arguments: list[str], name: str) -> str:
        assert command_line.run(lambda: main(arguments), prog=name) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"{name}: ")
        assert said.count("\n") == 1
        return said

    return refuse


@pytest.fixture
def run_entry(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Callable[[list[str]], None], list[str]], str]:
    """Call it with an entry's main and arguments: what it prints. Trials run on the tests' own Ray, which has started
    already, and one after the other: a stage's second process would import torch for longer than the trials take."""

    @contextlib.contextmanager
    def running_ray(*, worker_groups: bool) -> Iterator[Cluster]:
        yield Cluster(cpus=1.0, gpus=0.0, has_driver_resource=True, is_ours=True)

    monkeypatch.setattr("sweeps.runner.on_ray.running_ray", running_ray)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "120")

    def run(main: Callable[[list[str]], None], arguments: list[str]) -> str:
        main(arguments)
        return capsys.readouterr().out

    return run
