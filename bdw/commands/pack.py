"""`python -m bdw pack`: decode and resize a data set once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bdw import data
from bdw.data import unused
from bdw.data.readers import not_read
from bdw.parallel.stop_requests import terminations

if TYPE_CHECKING:
    from bdw.commands.options import Pack


MOST_NAMES = 20
"""Files that are named one by one; the store's header lists all."""


def pack(command: Pack) -> None:
    """Write a packed data set and say what is in it."""
    with terminations(), data.packing_bar() as bar:
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
    for remark in store.remarks:
        print(f"note    {remark}")
    root = None if command.data_root is None else Path(command.data_root)
    if other := not_read(command.spec, "source" if command.part == "source" else "target", root):
        print(f"note    {other}")
    skipped = store.header["skipped"]
    for entry in skipped[:MOST_NAMES]:
        count = f" ({entry['count']:,} like it)" if "count" in entry else ""
        print(f"skipped {entry['name']}: {entry['reason']}{count}")
    if skipped:
        print(f"unused  {unused.number_of(skipped):,} file(s): {unused.told(skipped)}; see {store.path}/header.json")
