"""Tar shards in WebDataset's layout: files of one sample follow one another and share a name up to its first dot.

Images stay in the archives: their places are listed once, and each is read from there when it is decoded. Nothing is
unpacked to the disk. Labels stand beside the images, in `KEY.cls` (a number or a name) or as `label` in `KEY.json`.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from bdw.data.decode import SinglePixels, decode
from bdw.data.deep_pixels import SampleRange
from bdw.data.image_kinds import NO_IMAGE, why_not
from bdw.data.instances import Part, Pixels, Skipped, UnreadableImageError
from bdw.data.readers import shard_files
from bdw.data.readers.base import Request, SplitName
from bdw.data.readers.image_files import why_not_into
from bdw.data.readers.label_column import label_column
from bdw.errors import InputError
from bdw.storage.spelt_out import spelt_out

_WHAT = "an uncompressed .tar file in WebDataset's layout, or a folder of such files"
_MOST_LABEL_BYTES = 1 << 20
"""A longer .cls or .json is no label."""
_LABEL_KEYS = ("label", "cls", "class")


@dataclass(frozen=True)
class _Place:
    """Where an image lies."""

    shard: int
    start: int
    size: int
    """Bytes."""


class TarShards:
    """Names are SHARD/MEMBER, in the order of the shards' names and of the archives."""

    name = "tar"

    def source(self, request: Request) -> Part:
        """The shards called unlabelled or train where names tell splits, otherwise all."""
        return _part(shard_files.of_source(self._shards(request)), request)

    def target(self, request: Request) -> dict[SplitName, Part]:
        """The splits that names of shards or folders tell; all for training where they tell none."""
        shards = shard_files.of_target(self._shards(request), request)
        return {split: _part(files, request) for split, files in shards.items()}

    def _shards(self, request: Request) -> shard_files.Shards:
        return shard_files.find_shards(request, ".tar", _WHAT)


READERS = (TarShards(),)


def _part(files: Sequence[Path], request: Request) -> Part:
    names: list[str] = []
    places: list[_Place] = []
    keys: list[tuple[int, str]] = []
    labels: dict[tuple[int, str], int | str] = {}
    unused: list[Skipped] = []
    for number, file in enumerate(files):
        try:
            with tarfile.open(file, "r:") as archive:
                for member in archive:
                    key = (number, _key(member.name))
                    kind = _kind(member)
                    if kind == "image":
                        names.append(spelt_out(f"{file.name.removesuffix('.tar')}/{member.name}"))
                        places.append(_Place(number, member.offset_data, member.size))
                        keys.append(key)
                    elif kind == "label":
                        label = _label(archive, member, f"{request.option}: {str(file)!r}")
                        if label is not None:
                            labels[key] = label
                    elif kind:
                        unused.append(Skipped(spelt_out(f"{file.name}/{member.name}"), kind))
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InputError(f"{request.option}: {str(file)!r} cannot be read ({error}); allowed: {_WHAT}") from None
    if not names:
        raise InputError(f"{request.option}: {str(request.path)!r} holds no images; allowed: {_WHAT}")
    if len(set(names)) < len(names):
        # An archive may hold a member twice; a later one is another image here, not the former's successor.
        names = [f"{name}#{i}" for i, name in enumerate(names)]
    given = [labels.get(key) for key in keys]
    is_text = any(isinstance(label, str) for label in given)
    filled = [("" if is_text else -1) if label is None else (str(label) if is_text else label) for label in given]
    known = None if all(label is None for label in given) else np.array(filled)
    try:
        numbers, classes = label_column(known, None, len(names))
    except InputError as error:
        raise InputError(f"{request.option}: {str(request.path)!r}: {error}") from None
    channels = request.channels or 3

    def contents(i: int) -> bytes:
        place = places[i]
        with files[place.shard].open("rb") as stream:
            stream.seek(place.start)
            return stream.read(place.size)

    common, single_pixels = SampleRange(lambda: map(contents, range(len(places)))), SinglePixels()

    def read(i: int) -> Pixels:
        try:
            found = contents(i)
        except OSError as error:
            raise UnreadableImageError(error.strerror or str(error)) from error
        return decode(found, channels, request.image_size, common, single_pixels)

    return Part(
        names=names,
        labels=numbers,
        read=read,
        channels=channels,
        fingerprint={"reader": "tar", **shard_files.fingerprint(files)},
        classes=classes,
        remarks=common.remarks,
        counted=single_pixels.counted,
        unused=unused,
    )


def _key(name: str) -> str:
    """The folder and the name up to its first dot."""
    path = PurePosixPath(name)
    return str(path.with_name(path.name.partition(".")[0] or path.name))


def _kind(member: tarfile.TarInfo) -> str:
    """`image`, `label`, "" for what is passed over, or why a file that could be an image is not used."""
    path = PurePosixPath(member.name)
    if not member.isfile() or path.name.startswith(".") or any(why_not_into(part) for part in path.parts[:-1]):
        return ""
    if path.suffix.lower() in (".cls", ".json"):
        return "label"
    why = why_not(path.name)
    if why == "":
        return "a sparse file" if member.issparse() else "image"
    return "" if why in (None, NO_IMAGE) else why


def _label(archive: tarfile.TarFile, member: tarfile.TarInfo, where: str) -> int | str | None:
    """The number or name in a .cls or .json file; None if there is none."""
    stream = archive.extractfile(member)
    if stream is None or member.size > _MOST_LABEL_BYTES:
        return None
    text = stream.read().decode("utf-8", "replace").strip()
    if member.name.lower().endswith(".cls"):
        try:
            return int(text)
        except ValueError:
            return text or None
    try:
        told = json.loads(text)
    except ValueError:
        raise InputError(f"{where}: {member.name} is no JSON; allowed: JSON objects beside images") from None
    found = next((told[key] for key in _LABEL_KEYS if key in told), None) if isinstance(told, dict) else None
    return found if isinstance(found, int | str) and not isinstance(found, bool) else None
