"""A pool packed in pieces: by several processes or machines, or by one that may be interrupted.

The store is byte for byte the one that `write_part` would have written. A piece is two files in a folder or at an
address that all reach, and what is there is not made again, so that an interrupted job goes on where it was:

    00012.rows   uint8, the images of the piece one after the other
    00012.json   names, labels, what was skipped and a checksum of the rows; written last
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bdw.data.instances import Instance, Part, Skipped, counts_in_words
from bdw.data.packed import PackedDataset
from bdw.data.packing import Progress, write_packed, write_part
from bdw.errors import InputError
from bdw.storage.process_lock import only_one
from bdw.storage.remote_folder import RemoteFolder
from bdw.storage.retry import persistently

BYTES = 64 << 20
"""Of a piece, at most: it is held in memory while it is written and while it is read."""
BYTES_HERE = 16 << 20
"""Of a piece, where one process packs: so much is decoded anew after an interruption."""
PIECES = ".pieces"
"""Ending of the folders that hold pieces."""
SECONDS = 300.0
"""For how long a storage that fails is asked again, for each file."""


@dataclass(frozen=True)
class Pieces:
    """How a part is cut, and where its pieces are kept."""

    folder: RemoteFolder
    count: int
    """Images of the part, those included that will be skipped."""
    size: int
    """Images of a piece."""

    @classmethod
    def of(
        cls,
        part: Part,
        origin: Mapping[str, object],
        image_size: int,
        place: RemoteFolder,
        most_bytes: int | None = None,
    ) -> Pieces:
        """The pieces of a part below `place`, each of `most_bytes` (default: `BYTES`) or of one image.

        Another part, or the same after a change, has other ones.
        """
        size = max(1, (most_bytes or BYTES) // (part.channels * image_size * image_size))
        digest = hashlib.sha256(json.dumps([dict(origin), size], sort_keys=True).encode()).hexdigest()
        return cls(place.under(digest[:16]), len(part), size)

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def images(self, numbers: Iterable[int]) -> int:
        """How many images these pieces are made of."""
        return sum(min(self.size, self.count - number * self.size) for number in numbers)

    def missing(self) -> list[int]:
        """Numbers of the pieces that are not there yet. Raises `InputError` if the storage goes on failing."""
        try:
            there = persistently(self.folder.listed, what=f"listing {self.folder.root}", seconds=SECONDS)
        except OSError as error:
            raise _failed(self.folder, error) from error
        names = {file.name for file in there}
        return [number for number in range(len(self)) if f"{number:05d}.json" not in names]

    def write(self, part: Part, number: int, decoded: Callable[[int], None] = lambda images: None) -> int:
        """Decode a piece and keep it; returns how many images of the part are done with it.

        `decoded` hears meanwhile how many of them are. Raises `InputError` if the storage goes on failing.
        """
        start, stop = number * self.size, min((number + 1) * self.size, self.count)
        before = Counter(part.counted())
        # What lies beside the images belongs to none of the pieces.
        own = dataclasses.replace(part.select(np.arange(start, stop)), unused=())
        found, skipped = [], []
        for item in own.instances():
            if isinstance(item, Skipped):
                skipped.append(dataclasses.asdict(item))
            else:
                found.append(item)
            decoded(len(found) + len(skipped))
        rows = b"".join(np.ascontiguousarray(item.image).tobytes() for item in found)
        about = {
            "shape": found[0].image.shape if found else None,
            "names": [item.name for item in found],
            "labels": [item.label for item in found],
            "planted": [item.planted for item in found],
            "kinds": [item.kind for item in found],
            "skipped": skipped,
            "remarks": list(part.remarks()),
            "counted": dict(Counter(part.counted()) - before),
            "sha256": hashlib.sha256(rows).hexdigest(),
        }
        try:
            for name, content in ((f"{number:05d}.rows", rows), (f"{number:05d}.json", json.dumps(about).encode())):
                self._write(name, content)
        except OSError as error:
            raise _failed(self.folder, error) from error
        return stop - start

    def assemble(
        self,
        path: Path,
        *,
        classes: Sequence[str],
        unused: Sequence[Skipped],
        origin: Mapping[str, object],
        progress: Progress | None = None,
    ) -> PackedDataset:
        """The store of all pieces in the new folder `path`, open. `unused` and `origin` go into its header.

        Raises `InputError` for a piece that is missing or is not what was written, and as `write_packed` does.
        """
        remarks: list[str] = []
        counted: Counter[str] = Counter()

        def instances() -> Iterator[Instance | Skipped]:
            for number in range(len(self)):
                about, rows = self._read(number)
                remarks.extend(remark for remark in about["remarks"] if remark not in remarks)
                counted.update(about["counted"])
                yield from (Skipped(**entry) for entry in about["skipped"])
                if about["names"]:
                    images = np.frombuffer(rows, dtype=np.uint8).reshape(-1, *about["shape"])
                    columns = (about[name] for name in ("labels", "planted", "kinds"))
                    for name, image, *values in zip(about["names"], images, *columns, strict=True):
                        yield Instance(name, image, *values)
            yield from unused

        return write_packed(
            path,
            instances(),
            classes=classes,
            total=self.count + len(unused),
            origin=origin,
            progress=progress,
            remarks=lambda: [*remarks, *counts_in_words(counted)],
        )

    def delete(self) -> None:
        """Delete all pieces. `OSError` if the storage refuses."""
        self.folder.delete()

    def _write(self, name: str, content: bytes) -> None:
        persistently(
            lambda: self.folder.write(name, content), what=f"writing {self.folder.root}/{name}", seconds=SECONDS
        )

    def _read(self, number: int) -> tuple[dict[str, Any], bytes]:
        def read() -> tuple[bytes, bytes]:
            return self.folder.read(f"{number:05d}.json"), self.folder.read(f"{number:05d}.rows")

        try:
            text, rows = persistently(read, what=f"reading {self.folder.root}/{number:05d}", seconds=SECONDS)
        except OSError as error:
            raise _failed(self.folder, error) from error
        about: dict[str, Any] = json.loads(text)
        if hashlib.sha256(rows).hexdigest() != about["sha256"]:
            raise InputError(
                f"out: piece {self.folder.root}/{number:05d}.rows is not what was written; delete it and its .json, "
                "and pack again"
            )
        return about, rows


def beside(path: Path) -> Path:
    """Where the pieces of the store `path` are kept."""
    return path.with_name(f".{path.name}{PIECES}")


def write_part_on(
    path: Path, part: Part, origin: Mapping[str, object], image_size: int, progress: Progress | None = None
) -> PackedDataset:
    """`write_part`, but what an interrupted process has packed of it is not decoded again.

    Until the store is whole, its pieces lie beside it. One process of this machine packs, others wait for its store.
    Small parts are packed at once, and so are those at a path that is not UTF-8, which pyarrow cannot open.
    """
    place = beside(path)
    if os.fsencode(place) != str(place).encode(errors="replace"):
        return write_part(path, part, origin, progress)
    pieces = Pieces.of(part, origin, image_size, RemoteFolder.at(str(place.absolute())), BYTES_HERE)
    if len(pieces) <= 1:
        return write_part(path, part, origin, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    with only_one(path, f"packing {path.name}"):
        if path.exists():
            return PackedDataset.open(path)
        missing = pieces.missing()
        done = pieces.count - pieces.images(missing)

        def decoded(images: int) -> None:
            if progress is not None:
                progress(done + images, pieces.count)

        for number in missing:
            done += pieces.write(part, number, decoded)
        store = pieces.assemble(path, classes=part.classes, unused=part.unused, origin=origin)
        pieces.delete()
        shutil.rmtree(place, ignore_errors=True)
    return store


def _failed(folder: RemoteFolder, error: OSError) -> InputError:
    return InputError(f"out: {folder.root} cannot be read or written ({str(error).partition(chr(10))[0]})")
