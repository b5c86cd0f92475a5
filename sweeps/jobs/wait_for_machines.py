"""Wait until the machines of a cluster have joined its Ray, for launchers that start Ray on each of them by a script.

    RAY_ADDRESS=HEAD:6379 python -m sweeps.jobs.wait_for_machines 4

A sweep counts the machines that it finds when it starts, and runs as many trials side by side as fit on those.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import ray
import tyro

from bdw.errors import InputError
from bdw.ray.cluster import running_ray
from bdw.ray.environment import answers, names_a_cluster
from sweeps.runner import command_line

PROG = "wait_for_machines"
PAUSE = 1.0


@dataclass(frozen=True)
class Options:
    """Wait until so many machines have joined the Ray at RAY_ADDRESS, the head among them."""

    number: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="NUMBER")]
    """Machines, the head included."""
    seconds: float = 300.0
    """How long to wait, for the head and for the others."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Wait; raises `InputError` if they have not joined in time, or if RAY_ADDRESS names no cluster."""
    options = command_line.parse(Options, arguments, prog=PROG)
    address = os.environ.get("RAY_ADDRESS", "")
    if options.number < 1 or not options.seconds > 0:
        raise InputError(f"number, seconds: {options.number}, {options.seconds:g} cannot work; allowed: 1 or more")
    if not names_a_cluster(address):
        raise InputError(f"RAY_ADDRESS: {address!r} names no cluster; allowed: host:port of its head")
    deadline = time.monotonic() + options.seconds
    until(lambda: answers(address), deadline)
    with running_ray(worker_groups=False):
        until(lambda: number_of_machines() >= options.number, deadline)
        there = number_of_machines()
    if there < options.number:
        raise InputError(f"number: {there} of {options.number} machines joined {address} in {options.seconds:g} s")
    print(f"{there} machines have joined {address}", flush=True)


def until(condition: Callable[[], bool], deadline: float) -> None:
    """Return once the condition holds, or at the deadline (`time.monotonic`)."""
    while not condition() and time.monotonic() < deadline:
        time.sleep(PAUSE)


def number_of_machines() -> int:
    """Machines that live, as the head sees them."""
    return sum(bool(node["Alive"]) for node in ray.nodes())


if __name__ == "__main__":
    sys.exit(command_line.run(main, prog=PROG))
