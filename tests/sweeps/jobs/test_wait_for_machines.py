"""A launcher's script goes on once all machines are there, and says so in a line if they do not come."""

from __future__ import annotations

import sys
import time

import pytest

from sweeps.jobs import wait_for_machines
from sweeps.runner import command_line
from tests.sweeps.conftest import Head


def test_it_waits_for_those_that_are_asked_for(head: Head) -> None:
    command = (sys.executable, "-m", "sweeps.jobs.wait_for_machines")
    there = head.run(*command, "1", RAY_ADDRESS=head.gcs)
    assert (there.returncode, there.stdout) == (0, f"1 machines have joined {head.gcs}\n"), there.stderr
    missing = head.run(*command, "2", "--seconds", "3", RAY_ADDRESS=head.gcs)
    assert missing.returncode == 2
    assert missing.stderr == f"wait_for_machines: number: 1 of 2 machines joined {head.gcs} in 3 s\n"


@pytest.mark.parametrize(
    ("arguments", "address", "message"),
    [
        (["2"], "", "RAY_ADDRESS: '' names no cluster; allowed: host:port of its head"),
        (["0"], "127.0.0.1:1", "number, seconds: 0, 300 cannot work"),
        (["2", "--seconds", "0.5"], "127.0.0.1:1", "RAY_ADDRESS: nothing answers at '127.0.0.1:1'"),
    ],
)
def test_what_cannot_work(
    arguments: list[str],
    address: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    began = time.monotonic()
    assert command_line.run(lambda: wait_for_machines.main(arguments), prog="wait_for_machines") == 2
    assert time.monotonic() - began < 10
    said = capsys.readouterr().err
    assert said.startswith(f"wait_for_machines: {message}")
    assert said.count("\n") == 1
