"""From a data config to what a run works on: a packed source and a labelled target in three splits."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bdw.config import DataConfig
from bdw.data import splits, unused
from bdw.data.cache import packed_once
from bdw.data.instances import Part
from bdw.data.labelled_images import LabelledImages, Target
from bdw.data.leaks import MOST_COMPARISONS, Leak, find_leaks_once, without
from bdw.data.manifest import Description, SharedStores
from bdw.data.overlap import shared_images, shared_images_once
from bdw.data.packed import PackedDataset
from bdw.data.packing import Progress
from bdw.data.readers import not_read, resolve
from bdw.data.readers.addresses import CACHE, packed_at
from bdw.data.readers.base import Reader, Request, SplitName
from bdw.data.readers.packed_directory import require_size
from bdw.data.remote_stores import Summary, summary_at
from bdw.data.target import Assignment, assign, require_labels
from bdw.data.target_in_pool import with_target
from bdw.errors import InputError
from bdw.storage.remote_folder import is_address

Found = TypeVar("Found")

LabelledProgress = Callable[[str, int, int | None], None]
"""Called with what is being done (`packing source, images`), how many are done and their total."""

TargetCheck = Callable[[NDArray[np.int64], tuple[str, ...]], None]
"""Called with the training images' labels (0 to C - 1) and the class names before anything is decoded."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What a run works on. The method is shown `source.images` and the target, nothing else of the source."""

    source: PackedDataset
    targets: Mapping[str, Target]
    """By name; one entry is the common case."""
    cache_dir: Path | None = None
    """Where what takes long to find out about the images is kept; None to keep nothing."""
    valued: Mapping[str, Target] = dataclasses.field(default_factory=dict)
    """Further targets that the source is valued for, by name (`value_for`)."""

    @property
    def target(self) -> Target:
        """The only target; `ValueError` if there are several, which one asks for by name."""
        (target,) = self.targets.values()
        return target

    @property
    def description(self) -> Description:
        """Source and only target in numbers."""
        return _described(self.source, self.target)

    @functools.cached_property
    def held_out_in_source(self) -> Mapping[str, int]:
        """How many of the target's validation and test images the source holds, by split; only where it holds any."""
        known = _held_out(self.target)
        if self.cache_dir is None:
            return shared_images(self.source, known)
        return shared_images_once(self.source, known, self.cache_dir)

    @property
    def held_out(self) -> Mapping[str, tuple[NDArray[np.uint8], NDArray[np.str_]]]:
        """Images and names of the target's validation and test split, where their names are known."""
        return _held_out(self.target)

    @functools.cached_property
    def leaks(self) -> tuple[Leak, ...] | None:
        """Images of the source that are, or nearly are, the target's validation or test images; None where finding them
        takes more than `MOST_COMPARISONS`, which is left to who asks for it."""
        held_out = len(self.target.validation) + len(self.target.test)
        if len(self.source) * held_out > MOST_COMPARISONS:
            return None
        return self.all_leaks()

    def all_leaks(self, progress: LabelledProgress | None = None) -> tuple[Leak, ...]:
        """The same, however long it takes."""
        return _leaks(self.source, self.target, self.cache_dir, progress)


def load(
    config: DataConfig,
    work_dir: Path,
    progress: LabelledProgress | None = None,
    *,
    check_target: TargetCheck | None = None,
    check_source: Callable[[int], None] | None = None,
) -> Problem:
    """Find source and target, pack them once (see `cache_dir`) and split the target (see `target.assign`).

    Everything that names and labels tell is checked before any image is decoded. `check_target` and `check_source`
    (called with the number of images) may refuse more: an episode that does not fit, a batch that is too large.
    InputError for anything that cannot work.
    """
    for name in config.value_for:
        with _told_of(name):
            planned_target(_valuing(config, name))
    shared = None if config.cache_address is None else SharedStores(config)
    manifest = None if shared is None else shared.read()
    if shared is not None and manifest is not None:
        source, stores = shared.fetch(manifest, cache_folder(config, work_dir))
        target = _target_of(config, stores, check_target)
        if check_source is not None:
            check_source(len(source))
        return _with_valued(config, work_dir, Problem(source, {config.target: target}), progress, check_target)
    reader, request = _find(config, config.source, "source")
    pool = read(reader.source, request)
    parts = _target_parts(config, pool.channels)
    if config.target_fraction < 1:
        pool = _without(pool, parts)
    pool = _judged(limited(pool, config.max_source, config.data_seed), config.target)
    if check_source is not None:
        check_source(len(pool))
    stores = _target_stores(config, work_dir, parts, progress, check_target)
    target = _target_of(config, stores)
    if config.without_leaks:
        whole = _packed(config, work_dir, pool, config.source, "source", progress)
        found = _leaks(whole, target, cache_folder(config, work_dir), progress)
        pool = without(whole, found) if found else pool
    if config.target_in_pool:
        pool = with_target(pool, stores, assign(config, stores))
    source = _packed(config, work_dir, pool, config.source, "source", progress)
    if shared is not None:
        address = None if pool.packed is None else packed_at(config.source, config.data_root)
        shared.put(address or source, stores, _described(source, target))
    return _with_valued(config, work_dir, Problem(source, {config.target: target}), progress, check_target)


def _with_valued(
    config: DataConfig,
    work_dir: Path,
    problem: Problem,
    progress: LabelledProgress | None,
    check_target: TargetCheck | None,
) -> Problem:
    """The problem with its cache, and with the targets that its source is valued for; errors name `value_for`."""
    valued = {}
    for name in config.value_for:
        with _told_of(name):
            own, channels = _valuing(config, name), problem.source.channels
            valued[name] = load_target(own, work_dir, channels, progress, check_target)
    return dataclasses.replace(problem, cache_dir=cache_folder(config, work_dir), valued=valued)


def _valuing(config: DataConfig, target: str) -> DataConfig:
    return dataclasses.replace(config, target=target, value_for=(), cache_address=None)


@contextlib.contextmanager
def _told_of(target: str) -> Iterator[None]:
    """Errors within name `value_for` and the target."""
    try:
        yield
    except InputError as error:
        raise InputError(f"value_for: {target!r}: {error}") from error


def describe(config: DataConfig, work_dir: Path, progress: LabelledProgress | None = None) -> Description:
    """What `load` would return, in numbers.

    With a `cache_address` from the manifest that is there. Where there is none yet, source and target are packed and
    put there as `load` does it, but a source that is a packed data set at an address stays where it is: only its header
    is read. InputError as for `load`.
    """
    if config.cache_address is not None:
        shared = SharedStores(config)
        manifest = shared.read()
        address = None if manifest is not None else packed_at(config.source, config.data_root)
        is_whole = config.max_source is None and config.target_fraction == 1 and not config.without_leaks
        if address is not None and is_whole:
            summary = summary_at(address, "source")
            require_size(summary.header, config.image_size, address)
            stores = _target_stores(
                config, work_dir, _target_parts(config, int(summary.header["channels"])), progress, None
            )
            target = _target_of(config, stores)
            manifest = shared.put(address, stores, _described(summary, target))
        if manifest is not None:
            return manifest.description
    return load(config, work_dir, progress).description


def _held_out(target: Target) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.str_]]]:
    """Split -> images and names, of the splits whose names are known."""
    splits = {"validation": target.validation, "test": target.test}
    return {name: (split.images, split.names) for name, split in splits.items() if split.names is not None}


def _leaks(
    source: PackedDataset, target: Target, folder: Path | None, progress: LabelledProgress | None
) -> tuple[Leak, ...]:
    tell = None if progress is None else functools.partial(progress, "comparing with the target, images")
    return find_leaks_once(source, _held_out(target), folder, tell)


def _described(source: PackedDataset | Summary, target: Target) -> Description:
    return Description.of(source, target.key, target.classes, target.train.labels)


def load_target(
    config: DataConfig,
    work_dir: Path,
    channels: int | None = None,
    progress: LabelledProgress | None = None,
    check_target: TargetCheck | None = None,
) -> Target:
    """The target alone, as `load` does it; `channels` is 1 or 3, None for the data set's own."""
    stores = _target_stores(config, work_dir, _target_parts(config, channels), progress, check_target)
    return _target_of(config, stores)


def planned_target(config: DataConfig) -> Assignment:
    """Which target image would serve for what, from names and labels alone. InputError for what `load` would refuse."""
    return assign(config, _target_parts(config, None))


def _target_parts(config: DataConfig, channels: int | None) -> Mapping[SplitName, Part]:
    """The target as its reader finds it, but only `target_fraction` of every class of its training images."""
    reader, request = _find(config, config.target, "target", channels)
    parts = dict(read(reader.target, request))
    if config.target_fraction < 1:
        train = parts["train"]
        require_labels(train, config.target)
        _, own = splits.hold_out(
            train.labels, config.target_fraction, config.data_seed, train.classes, splits.TARGET_STREAM
        )
        parts["train"] = train.select(own)
    return parts


def _without(pool: Part, parts: Mapping[SplitName, Part]) -> Part:
    """The pool without the target's images, which are recognised by their names.

    Names are compared within one data set only: other data in the pool stay, whatever their images are called. Where
    members of a mixture have names in common, their names carry a prefix (see its reader).
    """
    own = {name for part in parts.values() for name in part.names}
    origin: Mapping[str, Any] = pool.fingerprint
    members = zip(origin.get("kinds", [""]), origin.get("members", [origin]), strict=True)
    leaves = np.zeros(len(pool), dtype=np.bool_)
    for kind, fingerprint in members:
        if _is_same_data(fingerprint, parts["train"].fingerprint):
            taken = own | {f"{kind}/{name}" for name in own}
            inside = pool.kinds == kind if "members" in origin else np.ones(len(pool), dtype=np.bool_)
            leaves |= inside & np.array([name in taken for name in pool.names])
    if leaves.all():
        raise InputError("target_fraction: the target takes every image of the source; allowed: a smaller share")
    return pool.select(np.flatnonzero(~leaves)) if leaves.any() else pool


def _is_same_data(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in ("reader", "path", "content"))


def _judged(pool: Part, target: str) -> Part:
    """A pool of several kinds, one of which is the target itself, with that kind tagged as useful."""
    if pool.kinds is None or pool.planted is not None or not (pool.kinds == target).any():
        return pool
    planted = (pool.kinds == target).astype(np.int8)
    return dataclasses.replace(pool, planted=planted, fingerprint={**pool.fingerprint, "useful": target})


def _target_stores(
    config: DataConfig,
    work_dir: Path,
    parts: Mapping[SplitName, Part],
    progress: LabelledProgress | None,
    check_target: TargetCheck | None,
) -> dict[SplitName, PackedDataset]:
    planned = assign(config, parts)
    if check_target is not None:
        check_target(planned.shares["train"].labels, planned.classes)
    stores = {
        split: _packed(config, work_dir, part, config.target, f"target {split}", progress)
        for split, part in parts.items()
    }
    _require_all_classes(config.target, planned.classes, parts["train"], stores["train"])
    return stores


def _target_of(
    config: DataConfig, stores: Mapping[SplitName, PackedDataset], check_target: TargetCheck | None = None
) -> Target:
    # After packing, as images may have been skipped.
    assigned = assign(config, stores)
    if check_target is not None:
        check_target(assigned.shares["train"].labels, assigned.classes)

    def images(split: SplitName) -> LabelledImages:
        share = assigned.shares[split]
        store = stores[share.part]
        return LabelledImages(np.array(store.images[share.rows]), share.labels, np.array(store.names[share.rows]))

    contents = " ".join(f"{split}:{stores[split].content_key}" for split in sorted(stores))
    return Target(
        train=images("train"),
        validation=images("validation"),
        test=images("test"),
        classes=assigned.classes,
        key=hashlib.sha256(contents.encode()).hexdigest()[:16],
        skipped=tuple(entry for store in stores.values() for entry in store.header["skipped"]),
        remarks=tuple(dict.fromkeys(remark for store in stores.values() for remark in store.remarks)),
    )


def _require_all_classes(spec: str, classes: Sequence[str], part: Part, store: PackedDataset) -> None:
    """InputError if a class lost all its training images while they were decoded."""
    left = {store.classes[label] for label in np.unique(store.labels)}
    for name in classes:
        if name not in left:
            label = part.classes.index(name)
            own = {part.names[int(i)] for i in np.flatnonzero(part.labels == label)}
            why = [entry for entry in store.header["skipped"] if entry["name"] in own]
            raise InputError(
                f"target: class {name!r} of {spec!r} has no image that can be read: {unused.told(why)}, such as "
                f"{why[0]['name']}; allowed: at least 1 in every class"
            )


def _find(config: DataConfig, spec: str, option: str, channels: int | None = None) -> tuple[Reader, Request]:
    return resolve(
        spec,
        option=option,
        image_size=config.image_size,
        data_root=config.data_root,
        cache_dir=None if config.cache_dir is None else Path(config.cache_dir).expanduser(),
        download=config.download,
        channels=channels,
        seed=config.data_seed,
    )


def read(method: Callable[[Request], Found], request: Request) -> Found:
    """What a reader finds; its InputError also names a folder here that the user may have meant."""
    try:
        return method(request)
    except InputError as error:
        other = not_read(request.spec, request.option, request.data_root)
        raise InputError(f"{error}; {other}" if other else str(error)) from error


def not_read_here(config: DataConfig) -> list[str]:
    """Sentences on folders and files called like the source or the target that are not what is read."""
    specs = {"source": config.source, "target": config.target}
    return [other for option, spec in specs.items() if (other := not_read(spec, option, config.data_root))]


def _packed(
    config: DataConfig, work_dir: Path, part: Part, spec: str, what: str, progress: LabelledProgress | None
) -> PackedDataset:
    # The start of the folder's name reminds humans of the specification.
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(spec.partition("?")[0]).name)[-40:].strip("-") or "data"
    label = f"{slug}-{what.split()[-1]}"
    return packed_once(part, cache_folder(config, work_dir), label, config.image_size, labelled(progress, what))


def cache_folder(config: DataConfig, work_dir: Path) -> Path:
    """Where packed data sets are kept, and what else takes long to compute from them (see `cache_dir`)."""
    if config.cache_dir is not None:
        return Path(config.cache_dir).expanduser()
    if any(is_address(place or "") for place in (config.source, config.target, config.data_root, config.cache_address)):
        return Path(CACHE).expanduser()  # Not for every run anew.
    root = None if config.data_root is None else Path(config.data_root).expanduser()
    # A folder without a single write bit is meant to be left alone, although the superuser could write into it.
    if root is None or not root.is_dir() or not root.stat().st_mode & 0o222:
        return work_dir / "packed"
    return (root if os.access(root, os.W_OK) else work_dir) / "packed"


def limited(part: Part, size: int | None, seed: int) -> Part:
    """So many images of the part, drawn by the seed; all of them with None."""
    return part if size is None or size >= len(part) else part.select(splits.subset(len(part), size, seed))


def labelled(progress: LabelledProgress | None, what: str) -> Progress | None:
    """The progress of packing one part."""
    return None if progress is None else functools.partial(progress, f"packing {what}, images")
