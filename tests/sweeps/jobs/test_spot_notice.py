"""A cloud's notice reaches Ray, and a worker without a head leaves. Answers are those of the clouds' documentation."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks.chaos import folder_for_ray
from sweeps.jobs import spot_notice
from sweeps.runner import command_line

NODE = "0123456789abcdef" * 3 + "01234567"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The watcher removes runs from the home it finds: no test may show it the developer's."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def put_process(proc: Path, pid: int, name: str, *arguments: str) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "comm").write_text(f"{name}\n")
    (folder / "cmdline").write_text("\0".join(arguments) + "\0")


def test_finds_the_raylet(tmp_path: Path) -> None:
    put_process(tmp_path, 7, "raylet", "ray/raylet", "--raylet_socket_name=x", f"--node_id={NODE}")
    put_process(tmp_path, 8, "python", "python", f"--node_id={'f' * 56}")
    (tmp_path / "9").mkdir()
    assert spot_notice.raylets(tmp_path) == [NODE]


def answers(**by_path: str | None) -> spot_notice.Fetch:
    def fetch(method: str, path: str, headers: Mapping[str, str]) -> str | None:
        return by_path[path.split("?")[0].rsplit("/", 1)[1].replace("-", "_")]

    return fetch


def test_aws_says_when() -> None:
    end = (datetime.now(UTC) + timedelta(seconds=100)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fetch = answers(token="secret", instance_action=f'{{"action": "terminate", "time": "{end}"}}')
    left = spot_notice.seconds_left("aws", fetch)
    assert left is not None
    assert 60 < left <= 100
    assert spot_notice.seconds_left("aws", answers(token="secret", instance_action=None)) is None


@pytest.mark.parametrize(("said", "left"), [("TRUE", 30.0), ("FALSE", None), (None, None)])
def test_google_gives_half_a_minute(said: str | None, left: float | None) -> None:
    assert spot_notice.seconds_left("gcp", answers(preempted=said)) == left


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ('{"DocumentIncarnation": 1, "Events": [{"EventId": "x", "EventType": "Preempt"}]}', 30.0),
        ('{"DocumentIncarnation": 1, "Events": [{"EventId": "x", "EventType": "Reboot"}]}', None),
        ('{"DocumentIncarnation": 1, "Events": []}', None),
        (None, None),
    ],
)
def test_azure_gives_half_a_minute(said: str | None, left: float | None) -> None:
    assert spot_notice.seconds_left("azure", answers(scheduledevents=said)) == left


def test_asks_amazon_as_it_wants_to_be_asked() -> None:
    """A service as on a machine that insists on tokens: 401 without one, 404 before there is a notice."""

    class Metadata(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            good = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "60"
            self.answer(200 if good else 400, b"secret")

        def do_GET(self) -> None:
            if self.headers["X-aws-ec2-metadata-token"] != "secret":
                self.answer(401, b"")
            elif noticed:
                self.answer(200, b'{"action": "terminate", "time": "2000-01-01T00:00:00Z"}')
            else:
                self.answer(404, b"")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    noticed = False
    with HTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        fetch = spot_notice.fetch_from(f"http://127.0.0.1:{server.server_port}")
        assert spot_notice.seconds_left("aws", fetch) is None
        noticed = True
        assert spot_notice.seconds_left("aws", fetch) == 0.0
        server.shutdown()
        thread.join()
    assert fetch("GET", "/", {}) is None  # Nobody there: no notice, and no crash.


class Machine:
    """Commands that would be run, and time that passes without waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[list[str]] = []
        self.clock = 0.0
        self.running = [NODE]
        self.status = 0
        monkeypatch.setattr(spot_notice.subprocess, "run", self.run)
        monkeypatch.setattr(spot_notice.time, "sleep", self.sleep)
        monkeypatch.setattr(spot_notice.time, "monotonic", lambda: self.clock)
        monkeypatch.setattr(spot_notice, "raylets", lambda: self.running)

    def run(self, command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        self.commands.append(command)
        return subprocess.CompletedProcess(command, self.status)

    def sleep(self, seconds: float) -> None:
        self.clock += seconds


def test_a_notice_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    noticed = iter([None, None, 120.0])
    monkeypatch.setattr(spot_notice, "seconds_left", lambda *_: next(noticed))
    spot_notice.main(["--cloud", "aws", "--head", "10.0.0.1:6379"])
    (command,) = machine.commands
    assert command[1:4] == ["drain-node", "--address", "10.0.0.1:6379"]
    assert command[4:6] == ["--node-id", NODE]
    assert "DRAIN_NODE_REASON_PREEMPTION" in command
    assert command[-2:] == ["--deadline-remaining-seconds", "110"]


def test_a_head_that_does_not_listen_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.status = 1

    def left(*_: object) -> float:
        machine.status = 1 if machine.clock < 20 else 0
        return 120.0 - machine.clock

    monkeypatch.setattr(spot_notice, "seconds_left", left)
    spot_notice.main(["--cloud", "aws", "--head", "10.0.0.1:6379"])
    assert [command[-1] for command in machine.commands] == ["110", "105", "100", "95", "90"]


def test_a_worker_without_a_head_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)

    def seen() -> list[str]:
        # Ray restarts after five minutes without, then is gone for good.
        return [NODE] if machine.clock < 100 or 400 <= machine.clock < 1000 else []

    monkeypatch.setattr(spot_notice, "raylets", seen)
    spot_notice.main(["--head", "10.0.0.1:6379"])
    assert machine.commands == [["sudo", "shutdown", "-h", "now"]]
    assert machine.clock == pytest.approx(1605, abs=5)


@pytest.mark.parametrize(("cloud", "looks"), [("aws", [0.0, 60.0]), ("none", [])])
def test_the_disk_is_looked_at_every_minute(
    cloud: str, looks: list[float], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(monkeypatch)
    seen: list[float] = []

    def make_room(cache: Path, **_: object) -> list[Path]:
        assert cache == home / ".cache" / "bdw" / "sweeps"
        seen.append(machine.clock)
        return [cache / "a-run"]

    monkeypatch.setattr(spot_notice.disk_space, "make_room", make_room)
    monkeypatch.setattr(spot_notice, "seconds_left", lambda *_: 120.0 if machine.clock >= 90 else None)
    monkeypatch.setattr(spot_notice, "raylets", lambda: [NODE] if machine.clock < 90 or cloud == "aws" else [])
    spot_notice.main(["--cloud", cloud, "--head", "10.0.0.1:6379"])
    assert [time - seen[0] for time in seen] == looks
    assert ("the disk is nearly full: removed" in capsys.readouterr().out) == bool(looks)


def test_a_hook_tells_ray_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    monkeypatch.setenv("RAY_ADDRESS", "bdw-head-svc:6379")
    spot_notice.main(["--now", "100"])
    assert [command[3] for command in machine.commands] == ["bdw-head-svc:6379"]


@pytest.mark.parametrize("head", ["", "somewhere", "http://10.0.0.1:8265"])
def test_no_address(head: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert command_line.run(lambda: spot_notice.main(["--head", head]), prog="spot_notice") == 2
    assert "allowed: host:port of Ray's head" in capsys.readouterr().err


@pytest.mark.long
def test_ray_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node of a real Ray, busy with work, counts as draining from then on, and Ray knows until when."""
    # A process connects to one Ray only, and this one has that of other tests, which asks for a token.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        node, until, asked_at = pool.submit(_drained_while_working).result()
    assert until.keys() == {node}
    assert asked_at + 600 <= until[node] <= time.time() + 600


def _drained_while_working() -> tuple[str, dict[str, float], float]:
    """The node that is to go, which nodes Ray knows to go when, and when it was told (seconds since 1970)."""
    with folder_for_ray() as folder:
        return _drained_on_a_cluster_in(folder)


def _drained_on_a_cluster_in(folder: Path) -> tuple[str, dict[str, float], float]:
    import ray
    from ray._private.state import state
    from ray.cluster_utils import Cluster

    @ray.remote(num_cpus=0, resources={"worker": 1})
    class Work:
        def is_going_on(self) -> bool:
            return True

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Ray tries the dashboard's port even where there is none, and another Ray may have the usual one.
    head = {"num_cpus": 0, "include_dashboard": False, "dashboard_port": port, "temp_dir": str(folder)}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        worker = cluster.add_node(num_cpus=1, resources={"worker": 1})
        cluster.wait_for_nodes()
        ray.init(cluster.address, log_to_driver=False, logging_level="error")
        work = Work.remote()
        assert ray.get(work.is_going_on.remote())
        assert worker.node_id in spot_notice.raylets()
        before = time.time()
        command = spot_notice.drain_command(cluster.address, worker.node_id, 600)
        subprocess.run(command, check=True, capture_output=True)
        draining = {node: milliseconds / 1000 for node, milliseconds in state.get_draining_nodes().items()}
        return worker.node_id, draining, before
    finally:
        ray.shutdown()
        cluster.shutdown()
