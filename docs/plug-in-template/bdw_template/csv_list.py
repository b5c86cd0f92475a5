"""A reader: `csv:FILE`, a CSV file with a column `path` (relative to the file) and, for a target, `label`."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bdw.data.instances import Part, UndecodableImageError
from bdw.data.readers.base import Request, SplitName
from bdw.errors import InputError


class CsvList:
    """Images that a CSV file lists."""

    name = "csv"

    def source(self, request: Request) -> Part:
        """All images of the list; labels are not needed."""
        return _part(request, needs_label=False)

    def target(self, request: Request) -> Mapping[SplitName, Part]:
        """All images as `train`; validation and test images are split off by bdw."""
        return {"train": _part(request, needs_label=True)}


READER = CsvList()


def _part(request: Request, *, needs_label: bool) -> Part:
    path = request.required_path("a CSV file with the column path, and label for a target")
    content = path.read_bytes()
    rows = list(csv.DictReader(content.decode("utf-8").splitlines()))
    columns = {"path", "label"} if needs_label else {"path"}
    if not rows or not columns <= rows[0].keys():
        raise InputError(f"{request.option}: {str(path)!r} lacks rows, or one of the columns {sorted(columns)}")
    names = [row["path"] for row in rows]
    if len(set(names)) != len(names):
        raise InputError(f"{request.option}: {str(path)!r} names an image twice; allowed: each path once")
    classes = tuple(sorted({row["label"] for row in rows})) if needs_label else ()
    channels = request.channels or 3
    return Part(
        names=names,
        labels=np.array([classes.index(row["label"]) if classes else -1 for row in rows], dtype=np.int64),
        read=lambda i: _read(path.parent / names[i], request.image_size, channels),
        channels=channels,
        fingerprint={"reader": "csv", "sha256": hashlib.sha256(content).hexdigest(), "at": str(path.resolve())},
        classes=classes,
    )


def _read(path: Path, size: int, channels: int) -> NDArray[np.uint8]:
    """uint8 (channels, size, size): the central square, resized."""
    try:
        with Image.open(path) as image:
            square = ImageOps.fit(image.convert("RGB" if channels == 3 else "L"), (size, size))
    except (OSError, UnidentifiedImageError) as error:
        raise UndecodableImageError(str(error)) from error
    pixels = np.asarray(square, dtype=np.uint8)
    return pixels.transpose(2, 0, 1).copy() if channels == 3 else pixels[None].copy()
