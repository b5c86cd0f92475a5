"""Looking at other processes and waiting for what they do, for benchmarks that kill them."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def title(process: psutil.Process) -> str:
    """Its command line, as which Ray's processes say what they are; empty if it has ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def wait_until(condition: Callable[[], bool], *, seconds: float, pause: float) -> None:
    """Ask again after every `pause` seconds; `TimeoutError` if nothing came of it after so many `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing happened for {seconds:.0f} s")
        time.sleep(pause)
