"""`python -m bdw pack`: decode and resize a data set once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdw import data

if TYPE_CHECKING:
    from bdw.commands.options import Pack


def pack(command: Pack) -> None:
    """Write a packed data set and say what is in it."""
    with data.packing_bar() as bar:
        store = data.pack(
            command.spec,
            command.out,
            command.image_size,
            part=command.part,
            data_root=command.data_root,
            download=command.download,
            channels=command.channels,
            progress=bar,
        )
    labelled = int((store.labels >= 0).sum())
    shape = " x ".join(map(str, store.images.shape[1:]))
    print(f"packed  {len(store):,} images ({labelled:,} labelled) of {shape} (channels x height x width): {store.path}")
    for entry in store.header["skipped"]:
        print(f"skipped {entry['name']}: {entry['reason']}")
