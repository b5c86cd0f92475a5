"""Packed stores at an address (`s3://bucket/pool`): put there once, fetched by each machine once."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdw.data.packed import PackedDataset, parse_header
from bdw.errors import InputError
from bdw.storage.fetch import SECONDS, fetch_once
from bdw.storage.remote_folder import RemoteFolder
from bdw.storage.retry import persistently

HEADER = "header.json"


@dataclass(frozen=True)
class Summary:
    """What a store at an address holds, as far as that can be told without its images."""

    header: Mapping[str, Any]
    planted_kinds: NDArray[np.str_] | None

    @property
    def content_key(self) -> str:
        """As of the store itself."""
        return str(self.header["content_key"])

    def __len__(self) -> int:
        return int(self.header["count"])


def summary_at(address: str, field: str) -> Summary:
    """The summary of the store at this address; `InputError`, which names the field, if there is none or the storage
    cannot be read."""
    remote = RemoteFolder.at(address, field=field)
    try:
        header = header_at(remote)
        if header is None:
            raise InputError(f"{field}: no packed data set at {address!r}; allowed: what `python -m bdw pack` wrote")
        kinds = None
        if header["planted"]:
            column = persistently(lambda: remote.read("kinds.npy"), what=f"reading {remote.root}", seconds=SECONDS)
            kinds = np.load(io.BytesIO(column), allow_pickle=False)
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{field}: {address!r} cannot be read ({reason})") from error
    return Summary(header, kinds)


def header_at(remote: RemoteFolder, *, seconds: float = SECONDS) -> Mapping[str, Any] | None:
    """The header of the store in this remote folder; None if there is no store. Its sizes and content key tell what the
    store holds without any of its images.

    Raises `InputError` if the header is broken, `OSError` if the storage still fails after `seconds`.
    """
    text = persistently(lambda: remote.read_text(HEADER), what=f"reading {remote.root}", seconds=seconds)
    return None if text is None else parse_header(text.encode(), remote.root)


def fetch_store(
    remote: RemoteFolder, header: Mapping[str, Any], cache_dir: Path, *, seconds: float = SECONDS
) -> PackedDataset:
    """The store in the remote folder, open, from this machine's own disk.

    It lies in `cache_dir` under a name that follows from its contents, so that a changed store is fetched anew; its
    checksum is recomputed after it was fetched. Raises `InputError` if that does not match or the disk has too little
    room, `OSError` if the storage still fails after `seconds`.
    """
    folder = cache_dir / f"{remote.root.rpartition('/')[2]}-{header['content_key']}"
    with contextlib.suppress(InputError):
        if folder.is_dir():
            return PackedDataset.open(folder)
        # What is left is of no use to anybody.
    shutil.rmtree(folder, ignore_errors=True)
    # Only the store's own files: what else lies in that folder is none of ours.
    names = {HEADER, *(f"{name}.npy" for name in ("images", "labels", "names", "planted", "kinds"))}
    files = persistently(remote.listed, what=f"listing {remote.root}", seconds=seconds)
    own = [file for file in files if file.name in names]
    images = f"{header['count']:,} images of {remote.root}"

    def check(fetched: Path) -> None:
        try:
            PackedDataset.open(fetched, verify=True)
        except InputError as error:
            reason = str(error).replace(str(fetched), remote.root)
            raise InputError(f"{reason.partition('; delete')[0]}; pack it again") from None

    fetch_once(remote, own, folder, what=images, check=check, seconds=seconds)
    return PackedDataset.open(folder)


def push_store(store: PackedDataset, remote: RemoteFolder, *, seconds: float = SECONDS) -> None:
    """Put a store into a remote folder. The header comes last: with it there, all is there.

    Raises `OSError` if the storage still fails after `seconds`, anew for every file.
    """
    files = sorted((path for path in store.path.iterdir() if path.suffix == ".npy"), key=lambda path: path.name)
    for path in [*files, store.path / HEADER]:

        def push(path: Path = path) -> None:
            remote.push(path, path.name)

        persistently(push, what=f"copying {path.name} to {remote.root}", seconds=seconds)
