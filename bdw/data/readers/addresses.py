"""Specifications and data roots that are addresses (`s3://bucket/pool`): what they mean on this machine.

What readers need as files is fetched once into the cache folder; a folder of image files is not, since its images are
read one by one when they are packed (see `folder`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bdw.data.readers import npz
from bdw.data.remote_stores import fetch_store, header_at
from bdw.errors import InputError
from bdw.storage.fetch import SECONDS, fetch_once
from bdw.storage.remote_folder import RemoteFile, RemoteFolder, below, is_address
from bdw.storage.retry import persistently

AS_FILES = ("huggingface", "parquet", "tar")
"""Readers of files that are fetched as they are; `NAME:ADDRESS` names a folder of them, or one."""
CACHE = "~/.cache/bdw/data"
"""Where fetched data are kept unless there is a cache folder."""


@dataclass(frozen=True)
class Meaning:
    """A reader and what it is to read."""

    name: str
    path: Path | None = None
    """On this machine."""
    root: Path | None = None
    """The part of the data root that the reader needs, on this machine."""
    address: str | None = None
    """Of a folder of images that stays where it is."""


def of_address(spec: str, option: str, names: Collection[str], cache_dir: Path | None) -> Meaning | None:
    """What an address, or `NAME:ADDRESS`, means; None for a specification that is none.

    Raises `InputError` if nothing of that kind is there, the storage refuses, or the disk has too little room.
    """
    if not is_address(spec):
        return None
    start, _, rest = spec.partition(":")
    name, address = (start, rest) if start in names and is_address(rest) else (None, spec)
    remote, cache = RemoteFolder.at(address, field=option), _folder(cache_dir)
    try:
        found = _packed_or_npz(remote, cache) if name in (None, "packed", "npz") else None
        if found is not None and name in (None, found.name):
            return found
        if name in ("packed", "npz"):
            what = "no packed data set" if name == "packed" else "no .npz file"
            raise InputError(
                f"{option}: {what} at {address!r}; allowed: what `python -m bdw pack` wrote, or .npz files"
            )
        if name in AS_FILES:
            return _copied(name, remote, cache, f"{option}: {address!r}")
        if name not in (None, "folder"):
            raise InputError(
                f"{option}: reader {name!r} cannot read {address!r}; allowed: {name!r} with --data-root ADDRESS"
            )
    except OSError as error:
        raise _unreachable(option, address, error) from error
    return Meaning("folder", address=address)


def _copied(name: str, remote: RemoteFolder, cache: Path, what: str) -> Meaning:
    """The folder, or the file, as it is on this machine once it is fetched."""
    folder, _, own = remote.root.rpartition("/")
    parent = RemoteFolder(remote.files, folder)
    # A file first: not every storage lists one as a folder without anything in it.
    near = (
        persistently(lambda: parent.names_beginning(own), what=f"listing {folder}", seconds=SECONDS) if folder else []
    )
    files = [file for file in near if file.name == own]
    if files:
        return Meaning(name, _fetched(parent, files, cache, own) / own)
    files = persistently(remote.listed, what=f"listing {remote.root}", seconds=SECONDS)
    if not files:
        raise InputError(f"{what} holds nothing; allowed: a folder of files, or a file, for the reader {name!r}")
    return Meaning(name, _fetched(remote, files, cache, own))


def packed_at(spec: str, data_root: str | None) -> str | None:
    """The address of the packed data set that a specification means, if it is one at an address: its own, or its name
    below a data root. Raises `InputError` if the storage cannot be read."""
    start, _, rest = spec.partition(":")
    address = rest if start == "packed" and is_address(rest) else spec
    if not is_address(address):
        if data_root is None or not is_address(data_root) or "/" in spec or ":" in spec:
            return None
        address = below(data_root, spec)
    try:
        return None if header_at(RemoteFolder.at(address)) is None else address
    except OSError as error:
        raise _unreachable("source", spec, error) from error


def under_root(
    spec: str, option: str, data_root: str, cache_dir: Path | None, needs: Mapping[str, Sequence[str]]
) -> Meaning:
    """What a plain name means where the data root is an address: a packed store or .npz files of that name, else a
    reader's own folders.

    `needs`: reader -> beginnings of the paths below the data root that it reads. A reader that is not in it reads
    nothing there. Raises `InputError` as `of_address` does.
    """
    cache = _folder(cache_dir)
    root = RemoteFolder.at(data_root, field="data_root")
    try:
        found = _packed_or_npz(root.under(spec), cache)
        if found is not None:
            return found
        if spec not in needs:
            return Meaning(spec)
        files = [file for start in needs[spec] for file in _below(root, start)]
        if not files:
            wanted = ", ".join(needs[spec])
            raise InputError(f"{option}: {spec!r}: not found at {data_root!r}; allowed: a data root that has {wanted}")
        return Meaning(spec, root=_fetched(root, files, cache, spec))
    except OSError as error:
        raise _unreachable("data_root", data_root, error) from error


def _below(root: RemoteFolder, start: str) -> list[RemoteFile]:
    """The files of a folder below the data root, or that file itself; their names begin at the data root."""
    folder, _, name = start.rpartition("/")
    inside = persistently(root.under(start).listed, what=f"listing {root.root}/{start}", seconds=SECONDS)
    if inside:
        return [dataclasses.replace(file, name=f"{start}/{file.name}") for file in inside]
    near = persistently(
        lambda: (root.under(folder) if folder else root).names_beginning(name), what=f"listing {start}", seconds=SECONDS
    )
    return [dataclasses.replace(file, name=start) for file in near if file.name == name]


def _packed_or_npz(remote: RemoteFolder, cache: Path) -> Meaning | None:
    header = header_at(remote)
    if header is not None:
        return Meaning("packed", fetch_store(remote, header, cache).path)
    folder, _, name = remote.root.rpartition("/")
    if not folder:
        return None
    parent = RemoteFolder(remote.files, folder)
    # NAME-train.npz brings its test split along.
    stem = name.removesuffix(".npz").removesuffix("-train")
    near = persistently(lambda: parent.names_beginning(stem), what=f"listing {folder}", seconds=SECONDS)
    family = re.compile(rf"{re.escape(stem)}(-(unlabelled|train|validation|test))?\.npz")
    files = [file for file in near if family.fullmatch(file.name)]
    if not files:
        return None
    local = _fetched(parent, files, cache, stem)
    return Meaning("npz", local / name) if npz.find(local / name, None) else None


def _fetched(remote: RemoteFolder, files: Sequence[RemoteFile], cache: Path, what: str) -> Path:
    """The files below a folder of the cache whose name follows from them, so that changed ones are fetched anew."""
    listing = hashlib.sha256(repr([remote.root, *files]).encode()).hexdigest()
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", what)[-40:].strip("-")
    return fetch_once(remote, files, cache / f"{slug}-{listing[:16]}", what=f"{remote.root}/{what}")


def _folder(cache_dir: Path | None) -> Path:
    return Path(CACHE).expanduser() if cache_dir is None else cache_dir


def _unreachable(option: str, address: str, error: OSError) -> InputError:
    reason = str(error).partition("\n")[0]
    return InputError(
        f"{option}: {address!r} cannot be read ({reason}); allowed: an address that this machine can read"
    )
