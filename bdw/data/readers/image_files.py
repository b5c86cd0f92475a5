"""The images below a folder, and an account of everything else that lies there.

Not looked into are hidden folders, those of operating systems and storage servers (`@eaDir`, `__MACOSX`, ...), and what
this project wrote: the directories of runs, sweeps and packed data sets, whose pictures are no source images.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from bdw.data.image_kinds import NO_IMAGE, SIGNATURE_BYTES, why_not, why_not_by_content
from bdw.data.instances import Skipped

Parts = tuple[str, ...]
"""A path below the folder, as the names of its folders and its own."""

_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "@__thumb", "@tmp", "#snapshot", "lost+found"}
    | {"system volume information", "__pycache__"}
)
_SYSTEM, _HIDDEN = "a hidden or system folder", "a hidden file"
_COUNTED = (_SYSTEM, _HIDDEN, NO_IMAGE)
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
        ours = next((what for names, what in _OURS if names <= entries.keys()), None)
        if ours and folder:
            found.unused.append(Skipped(f"{'/'.join(folder)}/", ours))
            continue
        found.folders.add(folder)
        inner: list[Parts] = []
        for name, entry in entries.items():
            parts = (*folder, name)
            try:
                is_folder = entry.is_dir()
                why = _why_not_into(name) if is_folder else _why_not(entry)
            except OSError as error:
                found.unused.append(unread("/".join(parts), error))
                continue
            if why in _COUNTED:
                kind = f"{name}/" if is_folder else os.path.splitext(name)[1].lower()  # noqa: PTH122
                counted.setdefault((why, kind), []).append("/".join(parts) + "/" * is_folder)
            elif why:
                found.unused.append(Skipped("/".join(parts), why))
            else:
                (inner if is_folder else found.files).append(parts)
        waiting += reversed(inner)
    found.files.sort()
    found.unused += [Skipped(min(names), why, len(names)) for (why, _), names in counted.items()]
    found.unused.sort(key=lambda skipped: (skipped.reason, skipped.name))
    return found


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


def _why_not_into(name: str) -> str:
    return _SYSTEM if name.startswith(".") or name.lower() in _SYSTEM_FOLDERS else ""


def _why_not(entry: os.DirEntry[str]) -> str:
    """Why the file is no image to be read; "" if it is one."""
    if entry.name.startswith("."):
        return _HIDDEN
    if not entry.is_file():
        entry.stat()  # A broken link says so itself.
        return "no file but a pipe, socket or device"
    why = why_not(entry.name)
    if why is None:
        with open(entry.path, "rb") as file:  # noqa: PTH123
            why = why_not_by_content(file.read(SIGNATURE_BYTES))
    return why
