"""A packed data set itself as source or target: what `python -m bdw pack` wrote is used as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bdw.data.instances import Part, Pixels
from bdw.data.packed import PackedDataset
from bdw.data.readers.base import Request, SplitName, distinct
from bdw.errors import InputError


class PackedDirectory:
    """Sizes were settled when it was packed; asking for others is an error rather than a second loss of detail."""

    name = "packed"

    def source(self, request: Request) -> Part:
        """All instances, with their numbers."""
        return _part(request)

    def target(self, request: Request) -> dict[SplitName, Part]:
        """All instances as training images; validation and test are split off."""
        return {"train": _part(request)}


READERS = (PackedDirectory(),)


def require_size(header: Mapping[str, Any], image_size: int, where: str) -> None:
    """InputError, which names `where`, if a store with this header has images of another size."""
    height, width = header["height"], header["width"]
    if (height, width) != (image_size, image_size):
        raise InputError(
            f"image_size: {image_size} asked for, but {where!r} was packed at {width}; "
            f"allowed: --image-size {width}, or pack the original images again"
        )


def _part(request: Request) -> Part:
    store = PackedDataset.open(request.required_path("a folder that `python -m bdw pack` wrote"))
    require_size(store.header, request.image_size, str(store.path))
    if request.channels not in (None, store.channels):
        raise InputError(
            f"{request.option}: {str(store.path)!r} was packed with {store.channels} channel(s) but the source has "
            f"{request.channels}; pack it again from the original images"
        )

    def read(i: int) -> Pixels:
        return np.asarray(store.images[i])

    return Part(
        names=store.names.tolist(),
        labels=store.labels,
        read=read,
        channels=store.channels,
        fingerprint={"reader": "packed", "content": store.header["checksum"]},
        classes=distinct(store.classes),
        planted=store.planted,
        kinds=store.planted_kinds,
        packed=store,
    )
