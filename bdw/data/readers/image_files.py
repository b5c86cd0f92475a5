"""The images below a folder, and an account of everything else that lies there.

Not looked into are hidden folders, those of operating systems and storage servers (`@eaDir`, `__MACOSX`, ...), and what
this project wrote: the directories of runs, sweeps and packed data sets, whose pictures are no source images.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bdw.data.image_kinds import NO_IMAGE, SIGNATURE_BYTES, why_not, why_not_by_content
from bdw.data.instances import Skipped

Parts = tuple[str, ...]
"""A path below the folder, as the names of its folders and its own."""

_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "@__thumb", "@tmp", "#snapshot", "lost+found"}
    | {"system volume information", "__pycache__"}
)
_SYSTEM, _HIDDEN = "a hidden or system folder", "a hidden file"
COUNTED = (_SYSTEM, _HIDDEN, NO_IMAGE)
"""Reasons for which files are counted together, an entry for each ending."""
_OURS = (
    ({"config.json", "metrics.csv"}, "a run's directory"),
    ({"config.json", "checkpoints"}, "a run's directory"),
    ({"study.journal"}, "a sweep's directory"),
    ({"header.json", "images.npy"}, "a packed data set"),
)


@dataclass
class Found:
    """What lies below a folder, in the order of paths; the same on every machine."""

    files: list[Parts] = field(default_factory=list)
    """Images."""
    folders: set[Parts] = field(default_factory=set)
    """All folders that were looked into, with or without images."""
    unused: list[Skipped] = field(default_factory=list)
    """What is no image to be read. Files that are none at all are counted together, an entry for each ending."""

    def in_order(self, counted: Mapping[tuple[str, str], list[str]]) -> Found:
        """Itself, sorted, with what was counted: (reason, ending) -> names."""
        self.files.sort()
        self.unused += [Skipped(min(names), why, len(names)) for (why, _), names in counted.items()]
        self.unused.sort(key=lambda skipped: (skipped.reason, skipped.name))
        return self


class ImageFiles(Protocol):
    """The image files below a folder, wherever they lie."""

    @property
    def threads(self) -> int | None:
        """How many files to read side by side; None for as many as there are processors, up to eight."""

    @property
    def where(self) -> str:
        """The folder as the user named it."""

    @property
    def identity(self) -> str:
        """The folder as the same on every occasion."""

    def found(self) -> Found:
        """What lies there. `OSError` if that cannot be told."""

    def state(self, parts: Parts) -> tuple[int, int]:
        """Size in bytes and time of the last change in nanoseconds."""

    def contents(self, parts: Parts) -> Path | bytes:
        """The file for a decoder: its path, or all its bytes. `OSError` if it cannot be read."""


@dataclass(frozen=True)
class LocalImages:
    """Image files below a folder of this machine."""

    root: Path

    @property
    def threads(self) -> None:
        """None: reading keeps the processor busy."""

    @property
    def where(self) -> str:
        """The folder's path."""
        return str(self.root)

    @property
    def identity(self) -> str:
        """Its absolute path without links."""
        return str(self.root.resolve())

    def found(self) -> Found:
        """See `find_images`."""
        return find_images(self.root)

    def state(self, parts: Parts) -> tuple[int, int]:
        """As the operating system says."""
        status = self.root.joinpath(*parts).stat()
        return status.st_size, status.st_mtime_ns

    def contents(self, parts: Parts) -> Path:
        """The file's path."""
        return self.root.joinpath(*parts)


def find_images(root: str | os.PathLike[str]) -> Found:
    """All images below `root`; links to folders are followed, but never in circles. OSError if `root` is unreadable."""
    found = Found()
    counted: dict[tuple[str, str], list[str]] = {}
    seen: set[tuple[int, int]] = set()
    waiting: list[Parts] = [()]
    while waiting:
        folder = waiting.pop()
        try:
            entries = _entries(os.path.join(root, *folder), seen)  # noqa: PTH118
        except OSError as error:
            if not folder:
                raise
            found.unused.append(unread(f"{'/'.join(folder)}/", error))
            continue
        ours = of_this_project(entries.keys())
        if ours and folder:
            found.unused.append(Skipped(f"{'/'.join(folder)}/", ours))
            continue
        found.folders.add(folder)
        inner: list[Parts] = []
        for name, entry in entries.items():
            parts = (*folder, name)
            try:
                is_folder = entry.is_dir()
                why = why_not_into(name) if is_folder else _why_not(entry)
            except OSError as error:
                found.unused.append(unread("/".join(parts), error))
                continue
            if why in COUNTED:
                kind = f"{name}/" if is_folder else os.path.splitext(name)[1].lower()  # noqa: PTH122
                counted.setdefault((why, kind), []).append("/".join(parts) + "/" * is_folder)
            elif why:
                found.unused.append(Skipped("/".join(parts), why))
            else:
                (inner if is_folder else found.files).append(parts)
        waiting += reversed(inner)
    return found.in_order(counted)


def unread(name: str, error: OSError) -> Skipped:
    """A file or folder that could not be read now; another time it may be."""
    return Skipped(name, f"cannot be read: {error.strerror or error}", is_unread=True)


def _entries(path: str, seen: set[tuple[int, int]]) -> dict[str, os.DirEntry[str]]:
    """What lies in a folder, by name; nothing if the folder was seen before, by another path."""
    status = os.stat(path)  # noqa: PTH116
    if (status.st_dev, status.st_ino) in seen:
        return {}
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(path) as listing:
        return {entry.name: entry for entry in sorted(listing, key=lambda entry: entry.name)}


def of_this_project(names: Set[str]) -> str | None:
    """What a folder with these files is, if this project wrote it; None for any other."""
    return next((what for files, what in _OURS if files <= names), None)


def why_not_into(name: str) -> str:
    """Why a folder of that name is not looked into; "" if it is."""
    return _SYSTEM if name.startswith(".") or name.lower() in _SYSTEM_FOLDERS else ""


def why_not_by_name(name: str) -> str | None:
    """Why a file of that name is no image to be read, "" if it is one, None if only its first bytes tell."""
    return _HIDDEN if name.startswith(".") else why_not(name)


def _why_not(entry: os.DirEntry[str]) -> str:
    """Why the file is no image to be read; "" if it is one."""
    why = why_not_by_name(entry.name)
    if why == _HIDDEN:
        return why
    if not entry.is_file():
        entry.stat()  # A broken link says so itself.
        return "no file but a pipe, socket or device"
    if why is None:
        with open(entry.path, "rb") as file:  # noqa: PTH123
            why = why_not_by_content(file.read(SIGNATURE_BYTES))
    return why
