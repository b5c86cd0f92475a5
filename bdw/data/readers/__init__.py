"""The registry of readers, and the specifications by which users name data: `NAME`, `NAME:PATH` or a path."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from bdw import plugins
from bdw.data.image_kinds import why_not
from bdw.data.readers import (
    addresses,
    arrow_files,
    binary_files,
    digits,
    folder,
    glyphs,
    mixture,
    npz,
    packed_directory,
    tar_shards,
    torchvision_sets,
    visual_decathlon,
)
from bdw.data.readers.addresses import Meaning
from bdw.data.readers.base import Reader, Request
from bdw.errors import InputError, unknown_option
from bdw.storage.remote_folder import is_address


def available() -> tuple[str, ...]:
    """Names of all readers, those of plug-ins included, sorted; a specification may start with one."""
    return tuple(sorted(_READERS))


def resolve(
    spec: str,
    *,
    option: str,
    image_size: int,
    data_root: Path | str | None = None,
    cache_dir: Path | None = None,
    download: bool = False,
    channels: int | None = None,
    seed: int = 0,
) -> tuple[Reader, Request]:
    """The reader that a specification means, and the request to hand to it.

    `NAME:PATH` and `NAME` with a reader's name; otherwise a path to a packed data set, an .npz, .parquet or .tar file,
    a folder of the latter two, one that Hugging Face's `save_to_disk` wrote, or an image folder.
    Where the data root holds NAME-train.npz or NAME-unlabelled.npz, or a packed data set called NAME, NAME means that.
    Paths and the data root may be addresses (`s3://bucket/path`); what is needed of them as files is fetched into
    `cache_dir`, once. InputError for anything else.
    """
    given = None if data_root is None else str(data_root)
    meaning = _meaning(spec, option, given, cache_dir, download)
    request = Request(
        option=option,
        spec=spec,
        name=meaning.name,
        path=meaning.path,
        address=meaning.address,
        root=meaning.root,
        data_root=given,
        cache_dir=cache_dir,
        download=download,
        image_size=image_size,
        channels=channels,
        seed=seed,
    )
    return _READERS[meaning.name], request


def not_read(spec: str, option: str, data_root: Path | str | None = None) -> str:
    """A sentence on the folder or file called `spec` here, where `spec` means other data; "" if there is none."""
    if is_address(spec) or (data_root is not None and is_address(str(data_root))):
        return ""
    name, path = _take_apart(spec, option, None if data_root is None else Path(data_root).expanduser())
    here = Path(spec).expanduser()
    if name == mixture.NAME or path == here or not here.exists():
        return ""
    meant = str(path) if name == "npz" else f"the data set {name!r}"
    kind = "folder" if here.is_dir() else "file"
    return f"{option} {spec!r} means {meant}, not the {kind} here; write './{spec}' for it"


_ALL: tuple[Reader, ...] = (
    *arrow_files.READERS,
    *digits.READERS,
    *folder.READERS,
    *glyphs.READERS,
    mixture.Mixture(resolve),
    *npz.READERS,
    *packed_directory.READERS,
    *binary_files.READERS,
    *tar_shards.READERS,
    *torchvision_sets.READERS,
    *visual_decathlon.READERS,
)
_BUILT_IN = {reader.name: reader for reader in _ALL}
_PLUG_INS: plugins.Group = "bdw.readers"


class _Readers(Mapping[str, Reader]):
    """The built-in readers and those of plug-ins, which are imported when they are asked for."""

    def __getitem__(self, name: str) -> Reader:
        if name in _BUILT_IN:
            return _BUILT_IN[name]
        if name not in plugins.names(_PLUG_INS):
            raise KeyError(name)
        found = plugins.load(_PLUG_INS, name, "reader")
        if not all(callable(getattr(found, part, None)) for part in ("source", "target")) or isinstance(found, type):
            raise plugins.refused(_PLUG_INS, name, "reader", "an object with source and target")
        if getattr(found, "name", None) != name:
            raise plugins.refused(_PLUG_INS, name, "reader", f"a reader whose name is {name!r}")
        reader: Reader = found
        return reader

    def __contains__(self, name: object) -> bool:
        return name in _BUILT_IN or name in plugins.names(_PLUG_INS)

    def __iter__(self) -> Iterator[str]:
        return iter({**_BUILT_IN, **dict.fromkeys(plugins.names(_PLUG_INS))})

    def __len__(self) -> int:
        return len(set(self))


_READERS = _Readers()
_FILES = {".parquet": "parquet", ".tar": "tar"}
"""Endings of files that say their reader."""


def _meaning(spec: str, option: str, data_root: str | None, cache_dir: Path | None, download: bool) -> Meaning:
    start, _, _ = spec.partition(":")
    found = None if start == mixture.NAME else addresses.of_address(spec, option, _READERS, cache_dir)
    if found is not None:
        return found
    if data_root is None or not is_address(data_root):
        root = None if data_root is None else Path(data_root).expanduser()
        name, path = _take_apart(spec, option, root)
        return Meaning(name, path, root)
    if download:
        raise InputError(f"download: cannot go to the data root {data_root!r}; allowed: a data root that is a folder")
    drawn_here = _READERS.get(spec) in (*digits.READERS, *glyphs.READERS)
    if _is_plain_name(spec) and start != mixture.NAME and not drawn_here and ":" not in spec:
        needs = {name: reader.below_root for name, reader in _BUILT_IN.items() if hasattr(reader, "below_root")}
        found = addresses.under_root(spec, option, data_root, cache_dir, needs)
        if found.name in _READERS:
            return found
    return Meaning(*_take_apart(spec, option, None))


def _take_apart(spec: str, option: str, data_root: Path | None) -> tuple[str, Path | None]:
    if not spec:
        raise unknown_option(option, spec, _READERS)
    name, colon, rest = spec.partition(":")
    if colon and name in _READERS:
        return name, Path(rest).expanduser()
    endings = ("-train",) if option == "target" else ("-unlabelled", "-train")
    if data_root is not None and _is_plain_name(spec) and _READERS.get(spec) not in digits.READERS:
        in_root = npz.find(data_root / spec, None, endings)
        if in_root is not None:
            return "npz", in_root
        if (data_root / spec / "header.json").is_file():
            return "packed", data_root / spec
    if spec in _READERS:
        return spec, None
    path = Path(spec).expanduser()
    if path.is_dir():
        return _kind_of_folder(path), path
    if path.suffix.lower() in _FILES and path.is_file():
        return _FILES[path.suffix.lower()], path
    if npz.find(path, data_root, endings) is not None:
        return "npz", path
    if path.is_file():
        raise InputError(
            f"{option}: {spec!r} is a file of unknown kind; allowed: an .npz, .parquet or .tar file, or a folder"
        )
    if colon and _is_plain_name(name):
        raise unknown_option(option, name, _READERS)
    if not _is_plain_name(spec):
        raise InputError(
            f"{option}: {spec!r} does not exist; allowed: an image folder, a packed data set, an .npz, .parquet or .tar"
            " file"
        )
    raise unknown_option(option, spec, _READERS, nor="a folder or file here")


def _kind_of_folder(path: Path) -> str:
    """The reader of a folder by what lies directly in it. Where images or further folders lie there it is `folder`,
    whatever else does."""
    if (path / "header.json").is_file():
        return "packed"
    if (path / "dataset_dict.json").is_file() or ((path / "state.json").is_file() and any(path.glob("*.arrow"))):
        return "huggingface"
    try:
        entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        folders = [entry for entry in entries if entry.is_dir()]
        files = [entry for entry in entries if entry not in folders]
        if [folder.name for folder in folders] == ["data"]:
            files += [*folders[0].iterdir()]
        elif folders:
            return "folder"
    except OSError:
        return "folder"  # Which says what is the matter.
    if any(entry.is_dir() or why_not(entry.name) == "" for entry in files):
        return "folder"
    endings = {entry.suffix.lower() for entry in files}
    return next((reader for ending, reader in _FILES.items() if ending in endings), "folder")


def _is_plain_name(spec: str) -> bool:
    is_file = spec.endswith((".npz", *_FILES))
    return os.sep not in spec and "/" not in spec and spec not in (".", "..") and not is_file
