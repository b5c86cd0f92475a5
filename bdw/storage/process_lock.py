"""One process of this machine at a time."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)


@contextmanager
def only_one(path: Path, doing: str) -> Iterator[None]:
    """Wait until no other process of this machine is making `path`, and hold its lock for the length of the block.

    The lock is a file beside `path`; the system releases it when a process ends, however it ends. `doing` says in the
    warning what is waited for.
    """
    with path.with_name(f".{path.name}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            logger.warning("%s: process %s of this machine is at it; waiting for that", doing, lock.read() or "?")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
