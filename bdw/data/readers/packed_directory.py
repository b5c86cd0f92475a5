"""A packed data set itself as source or target: what `python -m bdw pack` wrote is used as it is."""

from __future__ import annotations

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


def _part(request: Request) -> Part:
    store = PackedDataset.open(request.required_path("a folder that `python -m bdw pack` wrote"))
    size = store.images.shape[-1]
    if store.images.shape[-2:] != (request.image_size, request.image_size):
        raise InputError(
            f"image_size: {request.image_size} asked for, but {str(store.path)!r} was packed at {size}; "
            f"allowed: --image-size {size}, or pack the original images again"
        )
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
