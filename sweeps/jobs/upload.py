"""The files that Ray would upload as a job's working directory, listed before anything is sent.

The walk is Ray's own (`_dir_travel` and its rules for ignored files), so that the answer is what Ray does: .gitignore
and .rayignore count, in every folder. These functions are private to Ray 2.60; a test compares with the archive that
Ray writes.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ray._private import ray_constants
from ray._private.runtime_env import packaging

from bdw.errors import InputError

LIMIT = 100 * 2**20
"""Bytes of a request that the job server refuses."""
ENTRY_BYTES = 30 + 46  # Bytes of an archive for each file, besides its contents and twice its name.
END_BYTES = 22
MAIN_PART = 0.9  # A file or folder with this share of its folder's bytes is named in the folder's place.


@dataclass(frozen=True)
class Upload:
    """The files of a working directory that are uploaded."""

    root: Path
    files: dict[str, int]
    """Bytes by path relative to the root, with slashes; empty folders, which Ray sends too, end in one."""

    @classmethod
    def of(cls, root: Path) -> Upload:
        """The files of the folder that Ray would upload now. Raises `InputError` for what cannot be read."""
        root = root.absolute()
        files: dict[str, int] = {}

        def take(path: Path) -> None:
            name = path.relative_to(root).as_posix()
            if path.is_file():
                files[name] = path.stat().st_size
            elif path.is_dir() and next(path.iterdir(), None) is None:
                files[name + "/"] = 0

        excluded = packaging._get_excludes(root, ray_constants.get_runtime_env_default_excludes())
        honours_gitignore = os.environ.get(ray_constants.RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") != "1"
        try:
            packaging._dir_travel(root, [excluded], take, honours_gitignore, logger=_silence())
        except OSError as error:
            raise InputError(
                f"upload: cannot read {error.filename or root}: {error.strerror}; leave it at home by a line in "
                f"{root / '.rayignore'}"
            ) from error
        return cls(root, files)

    @property
    def archive_bytes(self) -> int:
        """Size of the (uncompressed) archive that would be sent, exact up to 65,535 files."""
        names = sum(len(name.encode()) for name in self.files)
        return sum(self.files.values()) + 2 * names + ENTRY_BYTES * len(self.files) + END_BYTES

    def holds(self, path: str) -> bool:
        """Whether the file or folder is uploaded. `path` is relative to the root."""
        name = os.path.normpath(path)
        return name == "." or any(file == name or file.startswith(name + "/") for file in self.files)

    def largest(self, number: int = 3) -> list[tuple[str, int]]:
        """The files and folders with most bytes, largest first; folders end in a slash."""
        sizes: dict[str, int] = defaultdict(int)
        inside: dict[str, set[str]] = defaultdict(set)
        for file, size in self.files.items():
            child = file
            sizes[child] = size
            for parent in _folders_of(file):
                sizes[parent] += size
                inside[parent].add(child)
                child = parent
            inside[""].add(child)

        def main_part(name: str) -> str:
            biggest = max(inside[name], key=lambda child: sizes[child], default=name)
            return main_part(biggest) if biggest != name and sizes[biggest] >= MAIN_PART * sizes[name] else name

        first = sorted(inside[""], key=lambda name: (-sizes[name], name))[:number]
        return [(name, sizes[name]) for name in map(main_part, first)]

    def in_words(self) -> str:
        """For example "123 files, 1.4 MiB"."""
        return f"{len(self.files)} files, {mib(self.archive_bytes)}"

    def require_sendable(self, limit: int = LIMIT) -> None:
        """Raise `InputError`, naming what is large, if the job server would refuse it."""
        if self.archive_bytes >= limit:
            named = ", ".join(f"{name} ({mib(size)})" for name, size in self.largest())
            raise InputError(
                f"upload: {self.in_words()} in {self.root} are too much for the job server; allowed: less than "
                f"{mib(limit)}. Largest: {named}. Leave at home what the job does not need by lines in "
                f"{self.root / '.rayignore'}; data sets belong where the cluster's machines find them"
            )


def mib(size: int) -> str:
    """Bytes in words."""
    return f"{size / 2**20:.1f} MiB"


def _folders_of(file: str) -> Iterator[str]:
    """The folders around a file, innermost first, each ending in a slash."""
    parts = file.rstrip("/").split("/")[:-1]
    for depth in range(len(parts), 0, -1):
        yield "/".join(parts[:depth]) + "/"


def _silence() -> logging.Logger:
    """For Ray's remarks on every ignore file that it meets."""
    logger = logging.getLogger(f"{__name__}.walk")
    logger.setLevel(logging.ERROR)
    return logger
