"""The registry of readers, and the specifications by which users name data: `NAME`, `NAME:PATH` or a path."""

from __future__ import annotations

import os
from pathlib import Path

from bdw.data.readers import (
    binary_files,
    digits,
    folder,
    glyphs,
    mixture,
    npz,
    packed_directory,
    torchvision_sets,
    visual_decathlon,
)
from bdw.data.readers.base import Reader, Request
from bdw.errors import InputError, unknown_option


def available() -> tuple[str, ...]:
    """Names of all readers, sorted; a specification may start with one."""
    return tuple(sorted(_READERS))


def resolve(
    spec: str,
    *,
    option: str,
    image_size: int,
    data_root: Path | None = None,
    download: bool = False,
    channels: int | None = None,
    seed: int = 0,
) -> tuple[Reader, Request]:
    """The reader that a specification means, and the request to hand to it.

    `NAME:PATH` and `NAME` with a reader's name; otherwise a path to a packed data set, an .npz file or an image folder.
    Where the data root holds NAME-train.npz or NAME-unlabelled.npz, NAME means that. InputError for anything else.
    """
    name, path = _take_apart(spec, option, data_root)
    request = Request(
        option=option,
        spec=spec,
        name=name,
        path=path,
        root=data_root,
        download=download,
        image_size=image_size,
        channels=channels,
        seed=seed,
    )
    return _READERS[name], request


def not_read(spec: str, option: str, data_root: Path | None = None) -> str:
    """A sentence on the folder or file called `spec` here, where `spec` means other data; "" if there is none."""
    name, path = _take_apart(spec, option, data_root)
    here = Path(spec).expanduser()
    if name == mixture.NAME or path == here or not here.exists():
        return ""
    meant = str(path) if name == "npz" else f"the data set {name!r}"
    kind = "folder" if here.is_dir() else "file"
    return f"{option} {spec!r} means {meant}, not the {kind} here; write './{spec}' for it"


_ALL: tuple[Reader, ...] = (
    *digits.READERS,
    *folder.READERS,
    *glyphs.READERS,
    mixture.Mixture(resolve),
    *npz.READERS,
    *packed_directory.READERS,
    *binary_files.READERS,
    *torchvision_sets.READERS,
    *visual_decathlon.READERS,
)
_READERS = {reader.name: reader for reader in _ALL}


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
    if spec in _READERS:
        return spec, None
    path = Path(spec).expanduser()
    if path.is_dir():
        return ("packed" if (path / "header.json").is_file() else "folder"), path
    if npz.find(path, data_root, endings) is not None:
        return "npz", path
    if path.is_file():
        raise InputError(f"{option}: {spec!r} is a file of unknown kind; allowed: an .npz file or a folder")
    if colon and _is_plain_name(name):
        raise unknown_option(option, name, _READERS)
    if not _is_plain_name(spec):
        raise InputError(
            f"{option}: {spec!r} does not exist; allowed: an image folder, a packed data set, an .npz file"
        )
    raise unknown_option(option, spec, _READERS, nor="a folder or file here")


def _is_plain_name(spec: str) -> bool:
    return os.sep not in spec and "/" not in spec and spec not in (".", "..") and not spec.endswith(".npz")
