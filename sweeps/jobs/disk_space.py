"""Room on the disk of a cluster's machine: runs of which a storage has a copy, and to which nobody writes, go.

A machine keeps every run that it trains below `CACHE` until the machine itself goes, with two or three checkpoints of
parameters and momentum (ResNet-18: 11.2 million parameters, 0.09 GB a checkpoint). Only sweeps whose `--storage-path`
is an address have their runs there, and the storage has them as well: a trial that comes back fetches its run.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CACHE = "~/.cache/bdw/sweeps"
"""As in `sweeps.runner.paths`, which takes long to import."""
FULL = 0.8
"""Share of the disk above which room is made."""
QUIET_SECONDS = 6 * 3600.0
"""Seconds without a write after which a run is none that is going on: those save every half hour."""


def make_room(cache: Path, *, share_used: Callable[[], float], now: float | None = None) -> list[Path]:
    """Remove runs of the cache, the one first that was written to longest ago, until the disk is less than `FULL`.

    Returns the run directories that are gone. Runs that were written to in the last `QUIET_SECONDS` stay.
    """
    now = time.time() if now is None else now
    removed: list[Path] = []
    if share_used() < FULL:
        return removed
    for changed, run in sorted((last_change(run), run) for run in runs(cache)):
        if now - changed < QUIET_SECONDS or share_used() < FULL:
            break
        shutil.rmtree(run, ignore_errors=True)
        removed.append(run)
    return removed


def runs(cache: Path) -> Iterator[Path]:
    """The run directories of all sweeps in the cache."""
    yield from (path for path in cache.glob("*/*/runs/*") if path.is_dir())


def last_change(run: Path) -> float:
    """Seconds since 1970 of the newest file or folder of the run."""
    times = [run.stat().st_mtime]
    for path in run.rglob("*"):
        try:
            times.append(path.stat().st_mtime)
        except OSError:  # Gone meanwhile: somebody writes here.
            times.append(time.time())
    return max(times)


def used(folder: Path) -> float:
    """Share of the disk that is used, of the folder or the nearest one above it that is there."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    usage = shutil.disk_usage(there)
    return 1 - usage.free / usage.total
