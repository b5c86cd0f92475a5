"""Image folders: any nesting for a source, one sub-folder per class for a target; here or at an address."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bdw.data.decode import SinglePixels, decode
from bdw.data.deep_pixels import SampleRange, may_be_deep
from bdw.data.instances import Part, Pixels, Skipped, UnreadableImageError
from bdw.data.readers.base import Request, SplitName
from bdw.data.readers.image_files import Found, ImageFiles, LocalImages, Parts
from bdw.data.readers.image_objects import ImageObjects
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
        files, found = _found(request)
        return _part(
            files, [(file, -1) for file in found.files], (), found.unused, request, _common_range(files, found)
        )

    def target(self, request: Request) -> dict[SplitName, Part]:
        """Sub-folders are classes; they may lie below folders for the splits (see `split_layout`)."""
        files, found = _found(request)
        layout = find_layout(files.where, found, request)
        # All that is not used is listed once, with the training images.
        unused: dict[SplitName, Sequence[Skipped]] = {"train": [*found.unused, *layout.unused]}
        common = _common_range(files, found)
        parts = {
            split: _labelled(files, folder, found, unused.get(split, ()), request, common)
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


def _found(request: Request) -> tuple[ImageFiles, Found]:
    if request.address is not None:
        files: ImageFiles = ImageObjects(request.address, request.option)
    else:
        root = request.required_path(_WHAT)
        if not root.is_dir():
            raise InputError(f"{request.option}: {str(root)!r} is a file; allowed: {_WHAT}")
        files = LocalImages(root)
    try:
        found = files.found()
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise InputError(f"{request.option}: folder {files.where!r} cannot be read ({reason})") from None
    if not found.files:
        beside = told(skipped.entry() for skipped in found.unused)
        raise InputError(
            f"{request.option}: folder {files.where!r} holds no images; allowed: {_WHAT}"
            f"{beside and f'; it has {beside}'}"
        )
    return files, found


def _common_range(files: ImageFiles, found: Found) -> SampleRange:
    return SampleRange(lambda: (files.contents(parts) for parts in found.files if may_be_deep(parts[-1])))


def _labelled(
    files: ImageFiles, folder: Parts, found: Found, unused: Sequence[Skipped], request: Request, common: SampleRange
) -> Part:
    where = "/".join((files.where, *folder))
    depth = len(folder)
    classes = sorted(parts[depth] for parts in found.folders if len(parts) == depth + 1 and parts[:depth] == folder)
    if not classes:
        raise InputError(
            f"{request.option}: folder {where!r} has no sub-folders; allowed: one sub-folder of images per class"
        )
    label_of = {name: label for label, name in enumerate(classes)}
    labelled = [
        (parts, label_of[parts[depth]]) for parts in found.files if len(parts) > depth + 1 and parts[:depth] == folder
    ]
    empty = sorted(set(classes) - {classes[label] for _, label in labelled})
    if empty:
        inside = "/".join((*folder, empty[0], ""))
        beside = told(skipped.entry() for skipped in found.unused if skipped.name.startswith(inside))
        raise InputError(
            f"{request.option}: class folder {f'{where}/{empty[0]}'!r} holds no images{beside and f', only {beside}'}"
        )
    return _part(files, labelled, classes, unused, request, common)


def _part(
    files: ImageFiles,
    labelled: list[tuple[Parts, int]],
    classes: Iterable[str],
    unused: Sequence[Skipped],
    request: Request,
    common: SampleRange,
) -> Part:
    channels = request.channels or 3
    digest = hashlib.sha256()
    for parts, label in labelled:
        size, modified = files.state(parts)
        digest.update(f"{Path(*parts)!r} {label} {size} {modified}\n".encode())

    single_pixels = SinglePixels()

    def read(i: int) -> Pixels:
        try:
            contents = files.contents(labelled[i][0])
        except OSError as error:
            raise UnreadableImageError(error.strerror or str(error).partition("\n")[0]) from error
        return decode(contents, channels, request.image_size, common, single_pixels)

    return Part(
        names=[spelt_out("/".join(parts)) for parts, _ in labelled],
        labels=np.array([label for _, label in labelled], dtype=np.int64),
        read=read,
        channels=channels,
        fingerprint={"reader": "folder", "path": spelt_out(files.identity), "files": digest.hexdigest()},
        classes=tuple(spelt_out(name) for name in classes),
        remarks=common.remarks,
        counted=single_pixels.counted,
        unused=[dataclasses.replace(skipped, name=spelt_out(skipped.name)) for skipped in unused],
        threads=files.threads,
    )
