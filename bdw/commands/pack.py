"""`python -m bdw pack`: decode and resize a data set once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bdw import data
from bdw.config.checks import require_at_least
from bdw.data import unused
from bdw.data.pack_request import PackRequest
from bdw.data.packing import write_part
from bdw.data.pieces import PIECES, beside
from bdw.data.readers import not_read
from bdw.data.readers.addresses import CACHE
from bdw.data.remote_stores import push_store
from bdw.errors import InputError
from bdw.parallel.stop_requests import terminations
from bdw.storage.remote_folder import RemoteFolder, below, is_address

if TYPE_CHECKING:
    from bdw.commands.options import Pack


MOST_NAMES = 20
"""Files that are named one by one; the store's header lists all."""


def pack(command: Pack) -> None:
    """Write a packed data set and say what is in it."""
    require_at_least("num_workers", command.num_workers, 1, "at least 1, or none for this process alone")
    request = PackRequest(
        spec=command.spec,
        image_size=command.image_size,
        part=command.part,
        data_root=command.data_root,
        download=command.download,
        channels=command.channels,
    )
    with terminations(), data.packing_bar() as bar, _folder(command.out) as folder:
        if command.num_workers is None:
            chosen, origin = request.chosen()
            store = write_part(folder, chosen, origin, partial(bar, f"packing {command.part}, images"))
        else:
            from bdw.ray.packing import pack_on_workers

            store = pack_on_workers(
                request,
                folder,
                pieces_at=_pieces_of(command.out),
                num_workers=command.num_workers,
                decoded=partial(bar, f"packing {command.part}, images"),
                assembled=partial(bar, "putting the pieces together, images"),
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


def _pieces_of(out: str) -> str:
    """Where the pieces of a store are kept until it is whole."""
    if is_address(out):
        return below(out, PIECES)
    return str(beside(Path(out).expanduser().absolute()))


@contextmanager
def _folder(out: str) -> Iterator[Path]:
    """Where to pack to: the folder itself, or one here whose contents go to the address at the end of the block."""
    if not is_address(out):
        yield Path(out).expanduser()
        return
    remote = RemoteFolder.at(out, field="out")
    remote.require_writable(field="out")
    if any(not file.name.startswith(f"{PIECES}/") for file in remote.listed()):
        raise InputError(f"out: {out} is not empty; choose another address, or delete what lies there")
    here = Path(CACHE).expanduser()
    here.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=here, prefix=".packing-") as temporary:
        folder = Path(temporary) / "store"
        yield folder
        push_store(data.PackedDataset.open(folder), remote)
