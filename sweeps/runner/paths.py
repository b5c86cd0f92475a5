"""Where a sweep's files lie: its directory here, its copy in a storage, and the run directory of each trial."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bdw.config import RunConfig, identity
from bdw.errors import InputError
from bdw.runs.backup_files import pull_run
from bdw.storage.remote_folder import RemoteFolder, below
from bdw.storage.retry import persistently

CACHE = "~/.cache/bdw/sweeps"
PATIENCE = 60.0
"""Seconds for which a storage that fails is tried again where nobody else makes up for it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Paths:
    """A sweep's directory and, for a storage that is not a folder of this machine, its copy."""

    name: str
    """Name of the sweep."""
    directory: str
    """Absolute, or with `~` for the home of the user who runs Ray on a machine."""
    copy_at: str | None

    @classmethod
    def of(cls, storage_path: str | None, name: str) -> Paths:
        """The paths of the sweep `name` below a folder, or below an address such as s3://bucket/path.

        Raises `InputError` for a name that is no file name.
        """
        require_name(name)
        storage_path = storage_path or _default_storage()
        if "://" in storage_path:
            return cls(name, f"{CACHE}/{identity.digest(storage_path)}/{name}", below(storage_path, name))
        return cls(name, str(Path(storage_path).expanduser().absolute() / name), None)

    @property
    def path(self) -> Path:
        """The sweep's directory on this machine."""
        return Path(self.directory).expanduser()

    @property
    def journal(self) -> Path:
        """The file of the Optuna study, unless a database keeps it."""
        return self.path / "study.journal"

    @property
    def train_dir(self) -> str:
        """Where Ray Train keeps its own files: seen by all machines."""
        return below(self.copy_at or self.directory, "ray/train")

    @property
    def data_cache(self) -> str:
        """Where each machine keeps packed data sets, shared by all trials."""
        return f"{self.directory}/packed"

    @property
    def data_address(self) -> str | None:
        """Where packed data sets are kept for all machines, if these share no file system."""
        return below(self.copy_at, "packed") if self.copy_at else None

    def run_name(self, config: RunConfig, title: str, contents: str) -> str:
        """The trial's identity: the same settings on the same data have the same name, whenever and wherever they run.

        `contents` tells data of the same name apart (see `Room.contents`), since the data root does not count.
        """
        settings = identity.settings(config) | {"contents": contents}
        slug = re.sub(r"[^a-z0-9.]+", "-", title.lower()).strip("-.")
        return f"{slug}-{identity.digest(settings)}"

    def run_dir(self, run: str) -> str:
        """The run's directory on whatever machine it runs."""
        return f"{self.directory}/runs/{run}"

    def run_copy(self, run: str) -> str | None:
        """Where the run's copy is kept, if machines share no file system."""
        return below(self.copy_at, f"runs/{run}") if self.copy_at else None

    def found_at(self, run: str) -> str:
        """The address of the run's files, for whoever looks at the study."""
        return self.run_copy(run) or self.run_dir(run)

    def prepare(self) -> None:
        """Make the directory, and bring the study back.

        Raises `InputError` if the directory or the storage cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"storage_path: cannot write to {self.path}: {error.strerror}") from error
        if not os.access(self.path, os.W_OK):
            raise InputError(f"storage_path: cannot write to {self.path}")
        if self.copy_at is not None:
            RemoteFolder.at(self.copy_at).require_writable()
            self.fetch()

    def fetch(self) -> None:
        """Bring the study back from its copy if that is further."""
        if self.copy_at is not None:
            copy = RemoteFolder.at(self.copy_at)
            # A journal only grows: the longer one is the later one.
            if copy.size_of(self.journal.name) > (self.journal.stat().st_size if self.journal.is_file() else -1):
                copy.pull_files(self.path)

    def publish(self, *, at_end: bool = False, sent: dict[str, tuple[int, int]] | None = None) -> bool:
        """Bring the sweep's own files (study, tables, pictures, report) to the copy; returns whether all are there.

        A failure is logged, and the next call copies what is missing. `at_end` no call follows: the copy is tried again
        for `PATIENCE` seconds, then `InputError`. `sent` remembers what was copied, for a caller that copies often.
        """
        if self.copy_at is None:
            return True
        try:
            RemoteFolder.at(self.copy_at).push_files(self.path, seconds=PATIENCE if at_end else 0.0, sent=sent)
        except (InputError, OSError) as error:
            failed = f"the sweep cannot be copied to {self.copy_at} ({error})"
            if at_end:
                raise InputError(
                    f"storage_path: {failed}; all of it is in {self.path}, and the same command tries again"
                ) from error
            logger.warning("%s; it is tried again while the sweep runs, and at its end", failed)
            return False
        return True

    def fetch_run(self, run: str) -> Path:
        """The run's directory on this machine, brought here if it ran elsewhere."""
        path = Path(self.run_dir(run)).expanduser()
        copy = self.run_copy(run)
        if copy is not None:
            remote = RemoteFolder.at(copy)
            persistently(lambda: pull_run(remote, path), what=f"reading {copy}", seconds=PATIENCE)
        return path


def require_name(name: str) -> None:
    """Raise `InputError` for a sweep's name that is no file name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise InputError(f"name: {name!r} cannot be a folder's name; allowed: letters, digits, '.', '_' and '-'")


def portable(config: RunConfig) -> Mapping[str, Any]:
    """The settings that make results comparable: those that change a run's result, but for its seed and defaults."""
    return {key: value for key, value in identity.settings(config).items() if key != "seed"}


def _default_storage() -> str:
    # A job's uploaded working directory is deleted with the job.
    if "runtime_resources" in Path.cwd().parts:
        return str(Path.home() / "bdw-sweeps")
    return "runs/sweeps"
