"""Packs a part once and finds it again: the folder's name follows from what was asked for.

Several trials may ask for the same at the same moment. One packs a large part while the others wait. A small part is
packed by each into a temporary folder of its own; the first rename wins, and the others use the winner's store. Nobody
waits for a killed process: its lock ends with it, and what it has packed is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
from pathlib import Path

from bdw.data.instances import Part, UndecodableImageError, UnreadableImageError
from bdw.data.packed import VERSION, PackedDataset
from bdw.data.packing import Progress
from bdw.data.pieces import write_part_on
from bdw.errors import InputError


def packed_once(
    part: Part, cache_dir: Path, label: str, image_size: int, progress: Progress | None = None
) -> PackedDataset:
    """The packed form of a part: the store in `cache_dir` if it is there and whole, otherwise a new one.

    `label` starts the folder's name, for humans; the rest is a hash of fingerprint, size and channels.
    """
    if part.packed is not None:
        return part.packed
    origin = {**part.fingerprint, "image_size": image_size, "channels": part.channels, "version": VERSION}
    key = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
    path = cache_dir / f"{label}-{image_size}px-{key[:12]}"
    origin["key"] = key
    if path.exists():
        with contextlib.suppress(InputError):
            store = PackedDataset.open(path)
            if store.header.get("origin", {}).get("key") == key and not _can_be_read_now(store, part):
                return store
        _discard(path)
    return write_part_on(path, part, origin, image_size, progress)


def _can_be_read_now(store: PackedDataset, part: Part) -> bool:
    """Whether an image of the part that could not be read when the store was packed can be read, or decoded, by now."""
    unread = {entry["name"] for entry in store.header["skipped"] if entry.get("unread")}
    for i in [i for i, name in enumerate(part.names) if name in unread] if unread else []:
        try:
            part.read(i)
        except UnreadableImageError:
            continue
        except UndecodableImageError:
            pass
        return True
    return False


def _discard(path: Path) -> None:
    """Take a broken store out of the way; another process may be doing the same."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.broken")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
