"""The packed store: images decoded and resized once, then memory-mapped; an instance keeps its number for ever.

A store is a folder of plain .npy arrays and one JSON header:

    images.npy   uint8 (n, c, h, w), memory-mapped, rows = instances
    labels.npy   int64 (n,), -1 = unlabelled
    names.npy    unicode (n,), unique
    planted.npy  int8 (n,), 1 useful, 0 planted junk, -1 unknown   (only where something is known)
    kinds.npy    unicode (n,), what a planted image is             (only with planted.npy)
    header.json  format, sizes, class names, checksum, skipped files, origin

Reading never unpickles (allow_pickle=False), writing goes to a temporary folder that is renamed at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bdw.errors import InputError

FORMAT = "bdw-packed"
VERSION = 1

_CHECKSUM_ROWS = 1024


@dataclass(frozen=True, eq=False, repr=False)
class PackedDataset:
    """An open store. The method sees `images` only; labels and planted tags are for reports and targets."""

    path: Path
    images: NDArray[np.uint8]
    """uint8 (n, c, h, w), a read-only memory map."""
    labels: NDArray[np.int64]
    """int64 (n,), -1 = unlabelled."""
    names: NDArray[np.str_]
    """unicode (n,), unique."""
    planted: NDArray[np.int8] | None
    """int8 (n,): 1 useful, 0 planted junk, -1 unknown; None where nothing is known."""
    planted_kinds: NDArray[np.str_] | None
    """unicode (n,): what each instance of a planted source is; None where nothing is known."""
    header: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path | str, *, verify: bool = False) -> Self:
        """The store in this folder; sizes are checked, the checksum only with `verify`. InputError if it is broken."""
        path = Path(path)
        header = _read_header(path)
        images = _load(path, "images", mmap=True)
        labels, names = _load(path, "labels"), _load(path, "names", mmap=True)
        planted = _load(path, "planted") if header["planted"] else None
        kinds = _load(path, "kinds", mmap=True) if header["planted"] else None
        count = header["count"]
        expected = (count, header["channels"], header["height"], header["width"])
        if images.dtype != np.uint8 or images.shape != expected:
            raise _broken(path, f"images.npy holds {images.dtype} {images.shape}, header.json says uint8 {expected}")
        columns = {"labels": (labels, "i"), "names": (names, "U"), "planted": (planted, "i"), "kinds": (kinds, "U")}
        for name, (column, kind) in columns.items():
            if column is not None and (column.shape != (count,) or column.dtype.kind != kind):
                raise _broken(path, f"{name}.npy does not hold {count} values of the right type")
        store = cls(path, images, labels, names, planted, kinds, header)
        if verify:
            store.verify()
        return store

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"PackedDataset({str(self.path)!r}, {'x'.join(map(str, self.images.shape))}, {self.content_key})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy in another process maps the same files instead of carrying the images along.
        return (type(self).open, (self.path,))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label; empty if unlabelled."""
        return tuple(self.header["classes"])

    @property
    def content_key(self) -> str:
        """Short name of the contents: equal keys mean equal images, labels and names in the same order."""
        return str(self.header["content_key"])

    @property
    def channels(self) -> int:
        """Colour channels: 1 or 3."""
        return int(self.images.shape[1])

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences on what became of images when they were packed."""
        return tuple(map(str, self.header.get("remarks", ())))

    def verify(self) -> None:
        """Recompute the checksum over all contents; InputError if they are not what was written."""
        digest = hashlib.sha256()
        for start in range(0, len(self), _CHECKSUM_ROWS):
            digest.update(np.ascontiguousarray(self.images[start : start + _CHECKSUM_ROWS]).data)
        add_columns(digest, self.images.shape, self.classes, self.labels, self.names, self.planted, self.planted_kinds)
        if digest.hexdigest() != self.header["checksum"]:
            raise _broken(self.path, "its contents do not match the checksum in header.json")


def add_columns(
    digest: Any,
    shape: tuple[int, ...],
    classes: tuple[str, ...],
    labels: NDArray[Any] | None,
    names: NDArray[Any] | None,
    planted: NDArray[Any] | None,
    kinds: NDArray[Any] | None,
) -> None:
    """Continue the checksum over everything but the image bytes, which come first because they are streamed."""
    digest.update(json.dumps([VERSION, list(shape), list(classes)]).encode())
    for column in (labels, names, planted, kinds):
        if column is None:
            digest.update(b"-")
        elif column.dtype.kind == "U":
            digest.update(json.dumps(column.tolist()).encode())
        else:
            digest.update(column.astype("<i8").tobytes())


def _read_header(path: Path) -> dict[str, Any]:
    file = path / "header.json"
    if not file.is_file():
        raise InputError(f"{path}: is not a packed data set (no header.json); `python -m bdw pack` writes one")
    return parse_header(file.read_bytes(), path)


def parse_header(text: bytes, path: Path | str) -> dict[str, Any]:
    """The contents of a store's header.json; InputError, which names the store's path or address, for anything else."""
    try:
        header = json.loads(text)
    except ValueError as error:
        raise _broken(path, f"header.json is not JSON ({error})") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f"{path}: is not a packed data set (header.json does not say {FORMAT!r})")
    if header.get("version") != VERSION:
        raise InputError(f"{path}: packed in format version {header.get('version')}; this program reads {VERSION}")
    missing = {"count", "channels", "height", "width", "classes", "planted", "checksum", "content_key", "skipped"}
    missing -= header.keys()
    if missing:
        raise _broken(path, f"header.json lacks {', '.join(sorted(missing))}")
    return header


def _load(path: Path, name: str, *, mmap: bool = False) -> NDArray[Any]:
    file = path / f"{name}.npy"
    with contextlib.suppress(ValueError, OSError, EOFError):
        array: NDArray[Any] = np.load(file, mmap_mode="r" if mmap else None, allow_pickle=False)
        return array
    raise _broken(path, f"{name}.npy is {'truncated or not an array file' if file.exists() else 'missing'}")


def _broken(path: Path | str, what: str) -> InputError:
    return InputError(f"{path}: packed data set is broken: {what}; delete the folder and pack again")
