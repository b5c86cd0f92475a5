"""A manifest: which packed stores a source and a target are, kept at an address that all machines reach.

Whoever comes first packs, puts the stores there, and writes the manifest last. Everybody else fetches the stores
without a look at the original images, and whoever only wants to know what the data are reads the manifest alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import DataConfig
from bdw.data.packed import PackedDataset
from bdw.data.readers.base import SplitName
from bdw.data.remote_stores import Summary, fetch_store, header_at, push_store
from bdw.errors import InputError
from bdw.storage.fetch import SECONDS
from bdw.storage.remote_folder import RemoteFolder, absolute, below, is_address
from bdw.storage.retry import persistently

FORMAT, VERSION = "bdw-manifest", 1

_WHEREVER = {"cache_dir", "cache_address", "download", "crop_size", "crop_padding", "flip"}
"""Fields of the data config that do not change which images are packed, or how they are split."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a source and a target are, in numbers."""

    num_source: int
    """Images of the source."""
    source_key: str
    """Content key of the source's store."""
    source_kinds: Mapping[str, int]
    """Images of the source by kind; empty where kinds are unknown."""
    target_key: str
    """Short name of the contents of all the target's splits."""
    classes: tuple[str, ...]
    """The target's class names by label."""
    class_counts: tuple[int, ...]
    """Training images of the target by label."""

    @classmethod
    def of(
        cls,
        source: PackedDataset | Summary,
        target_key: str,
        classes: tuple[str, ...],
        train_labels: NDArray[np.int64],
    ) -> Self:
        """Counted on the packed images."""
        return cls(
            num_source=len(source),
            source_key=source.content_key,
            source_kinds=counts_of(source.planted_kinds),
            target_key=target_key,
            classes=classes,
            class_counts=tuple(np.bincount(train_labels, minlength=len(classes)).tolist()),
        )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Where the stores are, and what is in them."""

    source: str
    """Address of the source's store, or its name below the manifest's own."""
    target: Mapping[SplitName, str]
    """Split -> the same of its store."""
    description: Description

    def as_json(self) -> str:
        """Text of the file."""
        return json.dumps({"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}, indent=1)

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """The manifest in this text; InputError, which names `where`, if it is none that this version reads."""
        try:
            values: dict[str, Any] = json.loads(text)
            if (values.pop("format"), values.pop("version")) != (FORMAT, VERSION):
                raise ValueError("another format or version")
            described = values.pop("description")
            lists = {name: tuple(described[name]) for name in ("classes", "class_counts")}
            return cls(**values, description=Description(**described | lists))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"cache_address: {where} is no manifest ({error}); delete it, and it is made anew"
            ) from None


class SharedStores:
    """The packed stores at a config's `cache_address`, and the manifest of its source and target."""

    def __init__(self, config: DataConfig):
        """Raises `InputError` if there is no address, or one that cannot be understood."""
        if config.cache_address is None:
            raise InputError("cache_address: none was given; allowed: s3://bucket/path, gs://bucket/path or a folder")
        self._address = absolute(config.cache_address)
        self._remote = RemoteFolder.at(self._address, field="cache_address")
        settings = {name: value for name, value in vars(config).items() if name not in _WHEREVER}
        if not config.targets:
            del settings["targets"]  # So that manifests keep the names that they had before there was this field.
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        self.manifest_name = f"{_slug(config.source)}-for-{_slug(config.target)}-{digest[:12]}.json"

    def read(self) -> Manifest | None:
        """The manifest; None if there is none. Raises `InputError` if it is broken or the storage cannot be read."""
        where = f"{self._remote.root}/{self.manifest_name}"
        try:
            text = persistently(
                lambda: self._remote.read_text(self.manifest_name), what=f"reading {where}", seconds=SECONDS
            )
        except OSError as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"cache_address: {where} cannot be read ({reason})") from error
        return None if text is None else Manifest.parse(text, where)

    def fetch(self, manifest: Manifest, cache_dir: Path) -> tuple[PackedDataset, dict[SplitName, PackedDataset]]:
        """Source and target's splits, open, from this machine's own disk (see `remote_stores.fetch_store`).

        Raises `InputError` if a store is not there or is not what the manifest says.
        """
        source = self._fetched(manifest.source, cache_dir)
        if source.content_key != manifest.description.source_key:
            raise InputError(
                f"cache_address: the store at {manifest.source} has changed since {self.manifest_name} was written; "
                "delete the manifest, and it is made anew"
            )
        return source, {split: self._fetched(place, cache_dir) for split, place in manifest.target.items()}

    def put(
        self, source: PackedDataset | str, target: Mapping[SplitName, PackedDataset], description: Description
    ) -> Manifest:
        """Put the stores there (but for a source that has an address already) and write the manifest, which is
        returned. Raises `InputError` if the storage goes on failing."""
        try:
            manifest = Manifest(
                source=source if isinstance(source, str) else self._put(source),
                target={split: self._put(store) for split, store in target.items()},
                description=description,
            )
            persistently(
                lambda: self._remote.write_text(self.manifest_name, manifest.as_json()),
                what=f"writing {self.manifest_name}",
                seconds=SECONDS,
            )
        except OSError as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"cache_address: cannot write to {self._remote.root} ({reason})") from error
        return manifest

    def _put(self, store: PackedDataset) -> str:
        # The folder's name says what it holds, so that a store is there once, whoever packed it.
        label = re.sub(r"-[0-9a-f]{12,16}$", "", store.path.name)
        name = f"{label}-{store.content_key}"
        remote = self._remote.under(name)
        if header_at(remote) is None:
            push_store(store, remote)
        return name

    def _fetched(self, place: str, cache_dir: Path) -> PackedDataset:
        address = place if is_address(place) else below(self._address, place)
        remote = RemoteFolder.at(address, field="cache_address")
        try:
            header = header_at(remote)
            if header is None:
                raise InputError(
                    f"cache_address: there is no packed data set at {remote.root}, which {self.manifest_name} names; "
                    "delete the manifest, and it is made anew"
                )
            return fetch_store(remote, header, cache_dir)
        except OSError as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"cache_address: {remote.root} cannot be read ({reason})") from error


def counts_of(kinds: NDArray[np.str_] | None) -> dict[str, int]:
    """Images by kind, sorted; empty where kinds are unknown."""
    return {} if kinds is None else dict(sorted(Counter(map(str, kinds)).items()))


def _slug(spec: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", Path(spec.partition("?")[0]).name)[-40:].strip("-") or "data"
