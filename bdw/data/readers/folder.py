"""Image folders: any nesting for a source, one sub-folder per class for a target."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bdw.data.decode import decode
from bdw.data.instances import Part, Pixels
from bdw.data.readers.base import Request, SplitName
from bdw.errors import InputError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".jp2", ".tga", ".ico", ".avif"}
)
"""Files with other endings are not looked at (and not counted as skipped)."""

_SPLIT_FOLDERS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_WHAT = "a folder of images"


class Folder:
    """Names are paths relative to the folder, sorted; so the order is the same on every machine."""

    name = "folder"

    def source(self, request: Request) -> Part:
        """All images below the folder, unlabelled."""
        root = _folder(request)
        files = list(_image_files(root))
        if not files:
            raise InputError(f"{request.option}: folder {str(root)!r} holds no images; allowed: {_WHAT}")
        return _part(root, [(file, -1) for file in files], (), request)

    def target(self, request: Request) -> dict[SplitName, Part]:
        """Sub-folders are classes; they may lie below `train`, `val` (or `validation`) and `test`."""
        root = _folder(request)
        split_roots: dict[SplitName, Path] = {
            split: root / name
            for split, names in _SPLIT_FOLDERS.items()
            for name in reversed(names)
            if (root / name).is_dir()
        }
        if "train" not in split_roots:
            split_roots = {"train": root}
        return {split: _labelled(folder, root, request) for split, folder in split_roots.items()}


READERS = (Folder(),)


def _folder(request: Request) -> Path:
    root = request.required_path(_WHAT)
    if not root.is_dir():
        raise InputError(f"{request.option}: {str(root)!r} is a file; allowed: {_WHAT}")
    return root


def _labelled(folder: Path, root: Path, request: Request) -> Part:
    classes = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))
    if not classes:
        raise InputError(
            f"{request.option}: folder {str(folder)!r} has no sub-folders; allowed: one sub-folder of images per class"
        )
    files: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        members = [(file, label) for file in _image_files(folder / name)]
        if not members:
            raise InputError(f"{request.option}: class folder {str(folder / name)!r} holds no images")
        files += members
    return _part(root, files, tuple(_printable(name) for name in classes), request)


def _part(root: Path, files: list[tuple[Path, int]], classes: tuple[str, ...], request: Request) -> Part:
    channels = request.channels or 3
    digest = hashlib.sha256()
    for file, label in files:
        status = file.stat()
        digest.update(f"{file.relative_to(root)!r} {label} {status.st_size} {status.st_mtime_ns}\n".encode())

    def read(i: int) -> Pixels:
        return decode(files[i][0], channels, request.image_size)

    return Part(
        names=[_printable(file.relative_to(root).as_posix()) for file, _ in files],
        labels=np.array([label for _, label in files], dtype=np.int64),
        read=read,
        channels=channels,
        fingerprint={"reader": "folder", "path": _printable(str(root.resolve())), "files": digest.hexdigest()},
        classes=classes,
    )


def _image_files(root: Path) -> Iterator[Path]:
    """Image files below root by their relative path; links to folders are followed, but never in circles."""
    seen = set()
    found = []
    for folder, folders, files in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(folder, name)
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122
        ]
    yield from sorted((file for file in found if file.is_file()), key=lambda file: file.relative_to(root).parts)


def _printable(name: str) -> str:
    """File names are bytes; what is not UTF-8 is spelt out, so that names can go into any table."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
