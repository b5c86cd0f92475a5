"""What Ray would wait for in vain, or fail on with a trace, is one line before it starts."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from concurrent import futures

import grpc
import pytest

from bdw.errors import InputError, Terminated
from bdw.ray.cluster import running_ray
from bdw.ray.environment import answers, require_usable


@pytest.fixture(autouse=True)
def no_ray_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Ray other tests of this process are connected to is not seen, and stays."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.shutdown", lambda: None)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:1", "nohost.invalid:6379", "words"])
def test_a_cluster_that_does_not_answer_is_one_line_within_seconds(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_ray(**_: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr("ray.init", no_ray)
    monkeypatch.setenv("RAY_ADDRESS", address)
    began = time.monotonic()
    with pytest.raises(InputError) as caught, running_ray(worker_groups=False):
        pass
    assert time.monotonic() - began < 10
    cure = "start that cluster, or unset RAY_ADDRESS so that bdw starts its own"
    assert str(caught.value) == f"RAY_ADDRESS: nothing answers at {address!r}; {cure}"


@pytest.mark.parametrize(("code", "error"), [(signal.SIGTERM, Terminated), (3, SystemExit)])
def test_sigterm_while_ray_starts_is_told_as_such(
    code: int, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's own handler calls sys.exit with the signal's number."""

    def start(**_: object) -> None:
        sys.exit(code)

    monkeypatch.setattr("ray.init", start)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(error), running_ray(worker_groups=True):
        pass


def test_the_job_servers_address_is_none_of_a_cluster() -> None:
    with pytest.raises(InputError, match=r"RAY_ADDRESS: 'http://head:8265' is the job server; use `ray job submit`"):
        require_usable({"RAY_ADDRESS": "http://head:8265"})


def test_a_cluster_that_answers_is_used() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))  # Ray's servers are of this kind.
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        for given in (address, f"ray://{address}"):
            assert answers(given)
            require_usable({"RAY_ADDRESS": given})
    finally:
        server.stop(None).wait()
    assert not answers(address)


@pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_is_no_cluster_is_one_line_within_seconds(says: bytes) -> None:
    """Ray would wait for it for minutes. The first of them is silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                taken.append(connection)
                connection.sendall(says)

        taken: list[socket.socket] = []
        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        cure = "start that cluster, or unset RAY_ADDRESS so that bdw starts its own"
        try:
            with pytest.raises(InputError) as caught:
                require_usable({"RAY_ADDRESS": address})
            assert str(caught.value) == f"RAY_ADDRESS: what answers at {address!r} is no Ray cluster; {cure}"
            assert time.monotonic() - began < 10
            require_usable({"RAY_ADDRESS": address, "RAY_USE_TLS": "1"})  # What is encrypted cannot be looked into.
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()


def test_what_ray_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(**_: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nPlease specify one.")

    monkeypatch.setattr("ray.init", refuses)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(InputError) as caught, running_ray(worker_groups=False):
        pass
    assert str(caught.value) == (
        "RAY_ADDRESS: cannot join 'auto': Could not find any running Ray instance; start that cluster, or unset "
        "RAY_ADDRESS so that bdw starts its own"
    )


def test_ray_does_not_keep_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    def ours(*_: object) -> None:
        pass

    monkeypatch.setattr("ray.init", lambda **_: signal.signal(signal.SIGTERM, lambda *_: None))
    monkeypatch.setattr("ray.cluster_resources", dict)
    monkeypatch.setattr("ray.nodes", list)
    monkeypatch.setattr("bdw.ray.cluster.may_grow", lambda: None)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    before = signal.signal(signal.SIGTERM, ours)
    try:
        with running_ray(worker_groups=False):
            assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_temporary_directory_too_long_for_sockets_is_one_line() -> None:
    longest = "/tmp/" + "x" * (107 - 64 - len("/tmp/") - len("/ray"))
    require_usable({"RAY_TMPDIR": longest})
    for variables in ({"RAY_TMPDIR": longest + "x"}, {"TMPDIR": longest + "x"}, {"TMPDIR": "/tmp/" + 20 * "\u00e9"}):
        with pytest.raises(InputError, match=r"RAY_TMPDIR: '.*/ray' is longer than 43 bytes; .*export RAY_TMPDIR=/tmp"):
            require_usable(variables)
        require_usable({**variables, "RAY_ADDRESS": "auto"})
