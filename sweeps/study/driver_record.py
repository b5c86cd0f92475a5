"""The record of who drives a sweep, kept in its study or beside the copy of its journal."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import optuna
from optuna.storages import BaseStorage

from bdw.storage.remote_folder import RemoteFolder
from sweeps.study.objective import Direction
from sweeps.study.storage import told_clearly

ATTRIBUTE = "driver"
FILE = ".driver.json"


@dataclass(frozen=True)
class DriverRecord:
    """A claim: which driver runs the sweep."""

    owner: str
    """Unique for each claim."""
    host: str
    machine: str
    """Name of the machine since its last start: process ids and clocks can be compared within it."""
    pid: int
    since: float
    """Seconds since 1970, on the owner's clock."""
    seen: float
    """Seconds since 1970 of the last sign of life, on the owner's clock."""
    beats: int = 0

    @classmethod
    def of_this_process(cls) -> DriverRecord:
        """A new claim."""
        now = time.time()
        return cls(uuid.uuid4().hex, socket.gethostname(), _machine(), os.getpid(), now, now)

    def next_beat(self) -> DriverRecord:
        """The same claim with one more sign of life."""
        return replace(self, seen=time.time(), beats=self.beats + 1)

    @property
    def is_ours(self) -> bool:
        """Whether the claim was made on this machine."""
        return self.machine == _machine()

    @property
    def has_ended(self) -> bool:
        """Whether the process that made the claim is known to be gone; False for other machines' processes."""
        if not self.is_ours:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False

    @property
    def who_and_since(self) -> str:
        """Which process on which machine, since when by this machine's clock, and for how long."""
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {began} ({_duration(time.time() - self.since)})"

    def __str__(self) -> str:
        """Which process on which machine, since when, and its last sign of life."""
        return f"{self.who_and_since}, last sign of life {_duration(time.time() - self.seen)} ago"


class Register(Protocol):
    """A register for the claim. The last writer wins."""

    def read(self) -> DriverRecord | None:
        """The claim; None if there is none."""

    def write(self, claim: DriverRecord | None) -> None:
        """Put a claim there, or take it away."""


class StudyRegister:
    """An attribute of the study itself, which is made if it is not there."""

    def __init__(self, storage: BaseStorage, name: str, directions: Sequence[Direction]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with told_clearly():
            self._study = optuna.create_study(
                storage=storage, study_name=name, directions=list(directions), load_if_exists=True
            )

    def read(self) -> DriverRecord | None:
        """The claim; None if there is none."""
        with told_clearly():
            found = self._study.user_attrs.get(ATTRIBUTE)
            self._study._storage.remove_session()
        return None if found is None else DriverRecord(**found)

    def write(self, claim: DriverRecord | None) -> None:
        """Put a claim there, or take it away."""
        with told_clearly():
            self._study.set_user_attr(ATTRIBUTE, None if claim is None else asdict(claim))
            self._study._storage.remove_session()


class CopyRegister:
    """A hidden file in the sweep's copy: a journal that is copied there comes too late to tell who drives."""

    def __init__(self, copy: RemoteFolder) -> None:
        self._copy = copy

    def read(self) -> DriverRecord | None:
        """The claim; None if there is none."""
        with told_clearly("storage_path"):
            text = self._copy.read_text(FILE)
        return None if not text else DriverRecord(**json.loads(text))

    def write(self, claim: DriverRecord | None) -> None:
        """Put a claim there, or take it away."""
        with told_clearly("storage_path"):
            self._copy.write_text(FILE, "" if claim is None else json.dumps(asdict(claim)))


def _machine() -> str:
    """The same for all processes that see each other's ids; a new one after a restart."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        return f"{boot.read_text(encoding='ascii').strip()} {namespace.readlink()}"
    except OSError:  # Not Linux.
        return f"{socket.gethostname()} {uuid.getnode():x}"


def _duration(seconds: float) -> str:
    seconds = max(0.0, seconds)  # Another machine's clock may be ahead.
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
