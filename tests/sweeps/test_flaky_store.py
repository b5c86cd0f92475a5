"""A whole sweep on an object store that fails a fifth of its calls: nothing is lost."""

from __future__ import annotations

import http.client
import http.server
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from pyarrow import fs

from bdw.runs.backup_files import push_run
from bdw.storage.remote_folder import RemoteFolder, below
from sweeps.runner.paths import Paths
from sweeps.study import driver_lock
from sweeps.study.driver_record import CopyRegister
from sweeps.study.open_study import open_storage

ROOT = Path(__file__).resolve().parents[2]
SHARE = 0.2
SECONDS_OF_A_FAILURE = 0.3
"""A call that fails does so for its client's own further attempts, which come within this time, as well."""
TRIALS = 24

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


class FlakyProxy(http.server.ThreadingHTTPServer):
    """Passes calls on to an object store, but for one in five."""

    daemon_threads = True

    def __init__(self, store: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.store = store
        self.calls = self.failed = 0
        self._draws = random.Random(0)
        self._failing: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def fails(self, method: str, path: str) -> bool:
        key, now = (method, path.partition("?")[0]), time.monotonic()
        with self._lock:
            if now < self._failing.get(key, 0.0):
                return True
            self.calls += 1
            fails = self._draws.random() < SHARE
            if fails:
                self.failed += 1
                self._failing[key] = now + SECONDS_OF_A_FAILURE
            return fails


class _Passing(http.server.BaseHTTPRequestHandler):
    server: FlakyProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _pass(self) -> None:
        body = self._body()
        if self.server.fails(self.command, self.path):
            self._answer(503, {}, b"<Error><Code>ServiceUnavailable</Code></Error>")
            return
        connection = http.client.HTTPConnection(self.server.store, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("expect", "transfer-encoding")}
        connection.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
        answer = connection.getresponse()
        self._answer(answer.status, dict(answer.headers.items()), answer.read())
        connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        length = headers.get("Content-Length", str(len(body))) if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def proxy(s3_address: str) -> Iterator[FlakyProxy]:
    store = s3_address.partition("endpoint_override=")[2].partition("&")[0]
    server = FlakyProxy(store)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def through(proxy: FlakyProxy, address: str) -> str:
    """The store's address by way of the proxy."""
    host, port = proxy.server_address[:2]
    return address.replace(f"endpoint_override={proxy.store}", f"endpoint_override={host!s}:{port}")


def test_copies_of_runs_and_of_the_study_are_whole(proxy: FlakyProxy, s3_address: str, tmp_path: Path) -> None:
    """As a sweep makes them, under the lock that it keeps in the same store."""
    paths = Paths("flaky", str(tmp_path / "here"), below(through(proxy, s3_address), "flaky"))
    paths.prepare()
    register = CopyRegister(RemoteFolder.at(paths.copy_at or ""))
    with driver_lock.held(register, name="flaky", say=print, timing=driver_lock.Timing(beat=0.5)):
        for number in range(12):
            run = Path(paths.run_dir(f"run-{number}"))
            checkpoint = run / "checkpoints" / "epoch_0002"
            checkpoint.mkdir(parents=True)
            for name in ("config.json", "metrics.csv", "results.parquet", "encoder.safetensors"):
                (run / name).write_text(f"{name} of {number}")
            (checkpoint / "state.pt").write_bytes(bytes(100_000))
            push_run(RemoteFolder.at(paths.run_copy(run.name) or ""), run)
            with paths.journal.open("a") as journal:
                journal.write(f"trial {number} ended\n")
            paths.publish()
        paths.publish(at_end=True)
    assert proxy.failed > 10
    files, root = fs.FileSystem.from_uri(s3_address)
    wanted = [path for path in paths.path.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert len(wanted) == 1 + 12 * 5
    for path in wanted:
        with files.open_input_stream(f"{root}/flaky/{path.relative_to(paths.path)}") as stream:
            assert stream.read() == path.read_bytes(), path


def test_every_trial_completes_and_every_file_is_there(
    proxy: FlakyProxy, s3_address: str, environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "sweeps/stl10_pruning.py", "--smoke", "--data", "digits", "--targets", "digits"),
            # 12 of the search; six methods with two seeds in the comparison.
            *("--samples", str(TRIALS // 2), "--seeds", "0", "1", "--no-early-stopping"),
            *("--storage-path", through(proxy, s3_address), "--name", "flaky"),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert proxy.calls > 200
    assert 0.15 < proxy.failed / proxy.calls < 0.25

    files, root = fs.FileSystem.from_uri(s3_address)
    journal = tmp_path / "study.journal"
    with files.open_input_stream(f"{root}/flaky/study.journal") as stream:
        journal.write_bytes(stream.read())
    storage = open_storage(journal)
    names = optuna.get_all_study_names(storage)
    trials = [trial for name in names for trial in optuna.load_study(study_name=name, storage=storage).get_trials()]
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * TRIALS

    (here,) = Path(environment["HOME"]).glob(".cache/bdw/sweeps/*/flaky")
    wanted = [path for path in (*here.glob("*"), *here.glob("runs/*/*")) if path.is_file()]
    wanted = [path for path in wanted if not path.name.startswith(".")]
    # The comparison takes over what the search has run.
    runs = {trial.user_attrs["run"] for trial in trials}
    assert {path.parent.name for path in wanted if path.name == "encoder.safetensors"} == runs
    assert {"report.html", "trials.csv", "results.parquet"} <= {path.name for path in wanted}
    for path in wanted:
        with files.open_input_stream(f"{root}/flaky/{path.relative_to(here)}") as stream:
            assert stream.read() == path.read_bytes(), path
