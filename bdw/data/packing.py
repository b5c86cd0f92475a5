"""Writes packed stores: images are streamed, the folder appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bdw.data.instances import Instance, Part, Pixels, Skipped
from bdw.data.packed import FORMAT, VERSION, PackedDataset, add_columns
from bdw.errors import InputError

Progress = Callable[[int, int | None], None]
"""Called with the images done and the total (None if unknown) while a store is written."""


def write_packed(
    path: Path | str,
    instances: Iterable[Instance | Skipped],
    *,
    classes: Sequence[str] = (),
    total: int | None = None,
    origin: Mapping[str, object] | None = None,
    progress: Progress | None = None,
    remarks: Callable[[], Sequence[str]] = tuple,
) -> PackedDataset:
    """Write a new store and return it open.

    Images are written as they come, so the collection need not fit into memory. Skipped ones are listed in the header
    with their reasons. `origin` (JSON values) and what `remarks` says at the end are kept in the header. If another
    process finished the same path first, its store is returned when the contents are the same. InputError if nothing
    could be decoded, the path is taken or the disk is full.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{path}: already exists and is not an empty folder; choose another one or delete it")
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        header = _write_contents(temporary, instances, tuple(classes), total, origin or {}, progress, remarks)
        try:
            temporary.rename(path)
        except OSError:
            # Another process was faster. Its store is as good as ours if it holds the same.
            if not path.is_dir() or PackedDataset.open(path).header["checksum"] != header["checksum"]:
                raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return PackedDataset.open(path)


def write_part(path: Path, part: Part, origin: Mapping[str, object], progress: Progress | None = None) -> PackedDataset:
    """`write_packed` of all that a reader has found."""
    total = len(part) + len(part.unused)
    return write_packed(
        path,
        part.instances(),
        classes=part.classes,
        total=total,
        origin=origin,
        progress=progress,
        remarks=part.told,
    )


def pack_arrays(
    path: Path | str,
    images: NDArray[np.uint8],
    *,
    labels: NDArray[np.int64] | None = None,
    names: Sequence[str] | None = None,
    classes: Sequence[str] = (),
    planted: NDArray[np.int8] | None = None,
    kinds: Sequence[str] | None = None,
) -> PackedDataset:
    """Write a store of images (n, c, h, w) that are in memory; the default names are `00000`, `00001`, ..."""
    if planted is None and kinds is not None:
        raise ValueError("kinds without planted")

    def instances() -> Iterator[Instance]:
        for i, image in enumerate(images):
            yield Instance(
                f"{i:05d}" if names is None else names[i],
                image,
                -1 if labels is None else int(labels[i]),
                -1 if planted is None else int(planted[i]),
                "" if kinds is None else kinds[i],
            )

    return write_packed(path, instances(), classes=classes, total=len(images))


def _write_contents(
    folder: Path,
    instances: Iterable[Instance | Skipped],
    classes: tuple[str, ...],
    total: int | None,
    origin: Mapping[str, object],
    progress: Progress | None,
    remarks: Callable[[], Sequence[str]],
) -> dict[str, Any]:
    """Fill the (temporary) folder; returns the header."""
    names: list[str] = []
    labels: list[int] = []
    planted: list[int] = []
    kinds: list[str] = []
    skipped: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    shape: tuple[int, ...] | None = None
    single_colour = 0
    with (folder / "images.npy").open("wb+") as file:
        for done, item in enumerate(instances, start=1):
            if isinstance(item, Skipped):
                skipped.append(item.entry())
            else:
                image = np.ascontiguousarray(item.image)
                if shape is None:
                    shape = image.shape
                    _write_npy_header(file, (0, *shape))
                if image.dtype != np.uint8 or image.ndim != 3 or image.shape != shape:
                    raise ValueError(f"{item.name}: {image.dtype} {image.shape} instead of uint8 {shape}")
                file.write(image.data)
                digest.update(image.data)
                single_colour += item.planted == -1 and _is_single_colour(image)
                names.append(item.name)
                labels.append(item.label)
                planted.append(item.planted)
                kinds.append(item.kind)
            if progress is not None:
                progress(done, total)
        if shape is None:
            example = f"; the first of {len(skipped)}: {skipped[0]['name']}: {skipped[0]['reason']}" if skipped else ""
            raise InputError(f"no image could be read{example}")
        file.seek(0)
        _write_npy_header(file, (len(names), *shape))
        _flush(file)
    if len(set(names)) != len(names):
        raise ValueError("names of instances are not unique")
    columns: dict[str, NDArray[Any] | None] = {
        "labels": np.array(labels, dtype=np.int64),
        "names": np.array(names, dtype=np.str_),
        "planted": np.array(planted, dtype=np.int8) if set(planted) != {-1} else None,
        "kinds": np.array(kinds, dtype=np.str_) if set(planted) != {-1} else None,
    }
    for name, column in columns.items():
        if column is not None:
            with (folder / f"{name}.npy").open("wb") as file:
                np.save(file, column, allow_pickle=False)
                _flush(file)
    add_columns(digest, (len(names), *shape), classes, **columns)
    checksum = digest.hexdigest()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "count": len(names),
        "channels": shape[0],
        "height": shape[1],
        "width": shape[2],
        "classes": list(classes),
        "planted": columns["planted"] is not None,
        "checksum": checksum,
        "content_key": checksum[:16],
        "skipped": skipped,
        "remarks": [*remarks(), *([f"{single_colour:,} images are a single colour"] if single_colour else [])],
        "origin": dict(origin),
    }
    with (folder / "header.json").open("wb") as file:
        file.write(json.dumps(header, indent=1).encode())
        _flush(file)
    return header


def _is_single_colour(image: Pixels) -> bool:
    # Few images begin and end with the same value, so that hardly any is compared as a whole.
    return bool((image[:, 0, 0] == image[:, -1, -1]).all() and (image == image[:, :1, :1]).all())


def _write_npy_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # numpy pads the header for a growing first axis, so the final count fits into the place of the preliminary one.
    descr = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, descr)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
