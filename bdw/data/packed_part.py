"""A packed store as a part again, so that some of its images can be packed anew without decoding a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bdw.data.instances import Part, Pixels, Skipped
from bdw.data.packed import PackedDataset


def part_of(store: PackedDataset, reader: str, remarks: Sequence[str] = ()) -> Part:
    """All images of the store with what its header says was not used; `reader` is what made something else of it.

    Further `remarks` stand behind those of the store.
    """

    def read(i: int) -> Pixels:
        return np.asarray(store.images[i])

    def skipped() -> tuple[Skipped, ...]:
        return tuple(
            Skipped(str(entry["name"]), str(entry["reason"]), int(entry.get("count", 1)))
            for entry in store.header["skipped"]
        )

    return Part(
        names=store.names.tolist(),
        labels=store.labels,
        read=read,
        channels=store.channels,
        fingerprint={"reader": reader, "content": store.header["checksum"]},
        classes=store.classes,
        planted=store.planted,
        kinds=store.planted_kinds,
        remarks=lambda: (*store.remarks, *remarks),
        unused=skipped(),
    )
