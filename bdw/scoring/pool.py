"""A pool to be scored or embedded, opened as a run's own source was: same size, same channels."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bdw.data import unused
from bdw.data.instances import Part
from bdw.data.packed import PackedDataset
from bdw.data.readers import resolve
from bdw.errors import InputError
from bdw.runs.directory import RunDirectory
from bdw.runs.export import read_encoder
from bdw.scoring.scorer import config_of


@dataclass(frozen=True, kw_only=True)
class PoolRequest:
    """Which pool, and how its images are wanted; plain values, so that another machine can open the same."""

    spec: str
    """As for `--source`."""
    image_size: int
    """Side of the squares in pixels."""
    channels: int
    """1 or 3."""
    data_root: str | None = None
    cache_dir: str | None = None
    """Where images from an address (s3://bucket/photos) are kept; None for the user's cache."""
    download: bool = False
    data_seed: int = 0
    """Seed of a reader that draws its images."""


@dataclass(frozen=True)
class Pool:
    """Images that can be read one at a time, and what was said of them."""

    part: Part
    remark: str
    """A sentence on how images are converted; empty where none is."""

    @property
    def folder(self) -> Path | None:
        """Where its files are, if it is a folder of images: names are paths below it."""
        told = self.part.fingerprint
        return Path(str(told["path"])) if told.get("reader") == "folder" else None

    def columns(self, names: Sequence[str]) -> dict[str, list[str]]:
        """The column `filepath` of a table of these images, by which FiftyOne and others find their files; no column
        where the pool is no folder of images."""
        return {} if self.folder is None else {"filepath": [str(self.folder / name) for name in names]}

    @property
    def key(self) -> str:
        """Short name of the pool's contents, as far as its reader can tell without decoding."""
        return hashlib.sha256(json.dumps(self.part.fingerprint, sort_keys=True).encode()).hexdigest()[:16]


def open_pool(wanted: PoolRequest) -> Pool:
    """The pool. A packed data set of another size or other channels is opened as it is, to be converted later.

    Raises `InputError` for what no reader can open.
    """
    reader, request = resolve(
        wanted.spec,
        option="pool",
        image_size=wanted.image_size,
        data_root=wanted.data_root,
        cache_dir=None if wanted.cache_dir is None else Path(wanted.cache_dir).expanduser(),
        download=wanted.download,
        channels=wanted.channels,
        seed=wanted.data_seed,
    )
    shape = f"{wanted.image_size} x {wanted.image_size} pixels with {_channels(wanted.channels)}"
    remark = f"images are cut to their central square and resized to {shape}, as the run's own were"
    if reader.name == "packed" and request.path is not None:
        store = PackedDataset.open(request.path)
        size = store.images.shape[-1]
        remark = ""
        if (size, store.channels) != (wanted.image_size, wanted.channels):
            request = dataclasses.replace(request, image_size=size, channels=None)
            remark = f"images of {size} x {size} pixels with {_channels(store.channels)} are converted to {shape}, "
            remark += "as the run's own were"
    part = reader.source(request)
    if len(part) == 0:
        raise InputError(f"pool: {wanted.spec!r} holds no images; allowed: at least one")
    return Pool(part, remark)


def as_of_run(
    run: RunDirectory, spec: str, *, data_root: str | None, download: bool, data_seed: int | None
) -> PoolRequest:
    """The pool as that finished run wants its images; what is None is the run's own."""
    config = config_of(run).data
    _, metadata = read_encoder(run.encoder)
    return PoolRequest(
        spec=spec,
        image_size=config.image_size,
        channels=int(metadata["channels"]),
        data_root=config.data_root if data_root is None else data_root,
        cache_dir=config.cache_dir,
        download=download,
        data_seed=config.data_seed if data_seed is None else data_seed,
    )


def skipped_lines(part: Part, skipped: Sequence[Mapping[str, Any]]) -> list[str]:
    """A console line on what is not used, if anything: images that cannot be decoded, and files that are none."""
    entries = [*skipped, *(each.entry() for each in part.unused)]
    return [f"unused  {unused.number_of(entries):,} file(s): {unused.told(entries)}"] if entries else []


def _channels(count: int) -> str:
    return f"{count} channel{'s' if count > 1 else ''}"
