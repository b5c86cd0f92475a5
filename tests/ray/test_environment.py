"""What Ray would wait for in vain, or fail on with a trace, is one line before it starts."""

from __future__ import annotations

import socket
import time

import pytest

from bdw.errors import InputError
from bdw.ray.cluster import running_ray
from bdw.ray.environment import answers, require_usable


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


def test_the_job_servers_address_is_none_of_a_cluster() -> None:
    with pytest.raises(InputError, match=r"RAY_ADDRESS: 'http://head:8265' is the job server; use `ray job submit`"):
        require_usable({"RAY_ADDRESS": "http://head:8265"})


def test_a_cluster_that_answers_is_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        for given in (address, f"ray://{address}"):
            assert answers(given)
            require_usable({"RAY_ADDRESS": given})
    assert not answers(address)


def test_a_temporary_directory_too_long_for_sockets_is_one_line() -> None:
    longest = "/tmp/" + "x" * (107 - 64 - len("/tmp/") - len("/ray"))
    require_usable({"RAY_TMPDIR": longest})
    for variables in ({"RAY_TMPDIR": longest + "x"}, {"TMPDIR": longest + "x"}, {"TMPDIR": "/tmp/" + 20 * "\u00e9"}):
        with pytest.raises(InputError, match=r"RAY_TMPDIR: '.*/ray' is longer than 43 bytes; .*export RAY_TMPDIR=/tmp"):
            require_usable(variables)
        require_usable({**variables, "RAY_ADDRESS": "auto"})
