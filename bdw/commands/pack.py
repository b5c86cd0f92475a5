"""`python -m bdw pack`: decode and resize a data set once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bdw import data
from bdw.data import unused
from bdw.data.readers import not_read
from bdw.data.readers.addresses import CACHE
from bdw.data.remote_stores import push_store
from bdw.errors import InputError
from bdw.parallel.stop_requests import terminations
from bdw.storage.remote_folder import RemoteFolder, is_address

if TYPE_CHECKING:
    from bdw.commands.options import Pack


MOST_NAMES = 20
"""Files that are named one by one; the store's header lists all."""


def pack(command: Pack) -> None:
    """Write a packed data set and say what is in it."""
    with terminations(), data.packing_bar() as bar, _folder(command.out) as folder:
        store = data.pack(
            command.spec,
            folder,
            command.image_size,
            part=command.part,
            data_root=command.data_root,
            download=command.download,
            channels=command.channels,
            progress=bar,
        )
    labelled = int((store.labels >= 0).sum())
    shape = " x ".join(map(str, store.images.shape[1:]))
    print(
        f"packed  {len(store):,} images ({labelled:,} labelled) of {shape} (channels x height x width): {command.out}"
    )
    for remark in store.remarks:
        print(f"note    {remark}")
    if other := not_read(command.spec, "source" if command.part == "source" else "target", command.data_root):
        print(f"note    {other}")
    skipped = store.header["skipped"]
    for entry in skipped[:MOST_NAMES]:
        count = f" ({entry['count']:,} like it)" if "count" in entry else ""
        print(f"skipped {entry['name']}: {entry['reason']}{count}")
    if skipped:
        print(f"unused  {unused.number_of(skipped):,} file(s): {unused.told(skipped)}; see {command.out}/header.json")


@contextmanager
def _folder(out: str) -> Iterator[Path]:
    """Where to pack to: the folder itself, or one here whose contents go to the address at the end of the block."""
    if not is_address(out):
        yield Path(out).expanduser()
        return
    remote = RemoteFolder.at(out, field="out")
    remote.require_writable(field="out")
    if remote.listed():
        raise InputError(f"out: {out} is not empty; choose another address, or delete what lies there")
    here = Path(CACHE).expanduser()
    here.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=here, prefix=".packing-") as temporary:
        folder = Path(temporary) / "store"
        yield folder
        push_store(data.PackedDataset.open(folder), remote)
