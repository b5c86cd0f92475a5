"""Image folders: any nesting for a source, one sub-folder per class for a target."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bdw.data.decode import SinglePixels, decode
from bdw.data.deep_pixels import SampleRange
from bdw.data.instances import Part, Pixels, Skipped
from bdw.data.readers.base import Request, SplitName
from bdw.data.readers.image_files import Found, Parts, find_images
from bdw.data.readers.split_layout import find_layout
from bdw.data.unused import told
from bdw.errors import InputError
from bdw.storage.spelt_out import spelt_out

_WHAT = "a folder of images"


class Folder:
    """Names are paths relative to the folder, sorted; so the order is the same on every machine."""

    name = "folder"

    def source(self, request: Request) -> Part:
        """All images below the folder, unlabelled."""
        root, found = _found(request)
        return _part(root, [(file, -1) for file in found.files], (), found.unused, request, _common_range(root, found))

    def target(self, request: Request) -> dict[SplitName, Part]:
        """Sub-folders are classes; they may lie below folders for the splits (see `split_layout`)."""
        root, found = _found(request)
        layout = find_layout(root, found, request)
        # All that is not used is listed once, with the training images.
        unused: dict[SplitName, Sequence[Skipped]] = {"train": [*found.unused, *layout.unused]}
        common = _common_range(root, found)
        parts = {
            split: _labelled(root, folder, found, unused.get(split, ()), request, common)
            for split, folder in layout.roots.items()
        }
        if len(parts) == 1:
            return parts
        # What is white in a split's deep images depends on the other splits.
        names = hashlib.sha256(repr(found.files).encode("utf-8", "backslashreplace")).hexdigest()
        return {
            split: dataclasses.replace(part, fingerprint={**part.fingerprint, "folder": names})
            for split, part in parts.items()
        }


READERS = (Folder(),)


def _found(request: Request) -> tuple[Path, Found]:
    root = request.required_path(_WHAT)
    if not root.is_dir():
        raise InputError(f"{request.option}: {str(root)!r} is a file; allowed: {_WHAT}")
    try:
        found = find_images(root)
    except OSError as error:
        raise InputError(f"{request.option}: folder {str(root)!r} cannot be read ({error.strerror})") from None
    if not found.files:
        beside = told(skipped.entry() for skipped in found.unused)
        raise InputError(
            f"{request.option}: folder {str(root)!r} holds no images; allowed: {_WHAT}{beside and f'; it has {beside}'}"
        )
    return root, found


def _common_range(root: Path, found: Found) -> SampleRange:
    return SampleRange(lambda: (root.joinpath(*parts) for parts in found.files))


def _labelled(
    root: Path, folder: Parts, found: Found, unused: Sequence[Skipped], request: Request, common: SampleRange
) -> Part:
    where = root.joinpath(*folder)
    depth = len(folder)
    classes = sorted(parts[depth] for parts in found.folders if len(parts) == depth + 1 and parts[:depth] == folder)
    if not classes:
        raise InputError(
            f"{request.option}: folder {str(where)!r} has no sub-folders; allowed: one sub-folder of images per class"
        )
    label_of = {name: label for label, name in enumerate(classes)}
    files = [
        (parts, label_of[parts[depth]]) for parts in found.files if len(parts) > depth + 1 and parts[:depth] == folder
    ]
    empty = sorted(set(classes) - {classes[label] for _, label in files})
    if empty:
        inside = "/".join((*folder, empty[0], ""))
        beside = told(skipped.entry() for skipped in found.unused if skipped.name.startswith(inside))
        raise InputError(
            f"{request.option}: class folder {str(where / empty[0])!r} holds no images{beside and f', only {beside}'}"
        )
    return _part(root, files, classes, unused, request, common)


def _part(
    root: Path,
    files: list[tuple[Parts, int]],
    classes: Iterable[str],
    unused: Sequence[Skipped],
    request: Request,
    common: SampleRange,
) -> Part:
    channels = request.channels or 3
    digest = hashlib.sha256()
    for parts, label in files:
        status = root.joinpath(*parts).stat()
        digest.update(f"{Path(*parts)!r} {label} {status.st_size} {status.st_mtime_ns}\n".encode())

    single_pixels = SinglePixels()

    def read(i: int) -> Pixels:
        return decode(root.joinpath(*files[i][0]), channels, request.image_size, common, single_pixels)

    return Part(
        names=[spelt_out("/".join(parts)) for parts, _ in files],
        labels=np.array([label for _, label in files], dtype=np.int64),
        read=read,
        channels=channels,
        fingerprint={"reader": "folder", "path": spelt_out(str(root.resolve())), "files": digest.hexdigest()},
        classes=tuple(spelt_out(name) for name in classes),
        remarks=lambda: [*common.remarks(), *single_pixels.remarks()],
        unused=[dataclasses.replace(skipped, name=spelt_out(skipped.name)) for skipped in unused],
    )
