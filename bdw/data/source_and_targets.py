"""What a run works on: a packed source and its labelled targets, and what the two sides have in common."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bdw.data.labelled_images import Target
from bdw.data.leaks import MOST_COMPARISONS, Leak, find_leaks_once
from bdw.data.manifest import Description
from bdw.data.overlap import shared_images, shared_images_once
from bdw.data.packed import PackedDataset
from bdw.data.remote_stores import Summary
from bdw.errors import InputError

LabelledProgress = Callable[[str, int, int | None], None]
"""Called with what is being done (`packing source, images`), how many are done and their total."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What a run works on. The method is shown `source.images` and the targets, nothing else of the source."""

    source: PackedDataset
    targets: Mapping[str, Target]
    """By name; one entry is the common case."""
    cache_dir: Path | None = None
    """Where what takes long to find out about the images is kept; None to keep nothing."""
    valued: Mapping[str, Target] = dataclasses.field(default_factory=dict)
    """Further targets that the source is valued for, by name (`value_for`)."""

    @property
    def target(self) -> Target:
        """The first target, which is the only one in the common case."""
        return next(iter(self.targets.values()))

    @property
    def target_key(self) -> str:
        """Short name of the contents of all targets: the only target's own, or one of all their names and contents."""
        if len(self.targets) == 1:
            return self.target.key
        told = repr([(name, target.key) for name, target in self.targets.items()])
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @property
    def target_images(self) -> NDArray[np.uint8]:
        """(m, c, h, w) training images of all targets, one target after the other."""
        if len(self.targets) == 1:
            return self.target.train.images
        return np.concatenate([target.train.images for target in self.targets.values()])

    @property
    def description(self) -> Description:
        """Source and first target in numbers."""
        return described(self.source, self.target)

    @functools.cached_property
    def held_out_in_source(self) -> Mapping[str, int]:
        """How many of the targets' validation and test images the source holds, by split; only where it holds any."""
        found: Counter[str] = Counter()
        for target in self.targets.values():
            known = _held_out(target)
            if self.cache_dir is None:
                found.update(shared_images(self.source, known))
            else:
                found.update(shared_images_once(self.source, known, self.cache_dir))
        return dict(found)

    @property
    def held_out(self) -> Mapping[str, tuple[NDArray[np.uint8], NDArray[np.str_]]]:
        """Images and names of the first target's validation and test split, where their names are known."""
        return _held_out(self.target)

    @functools.cached_property
    def leaks(self) -> tuple[Leak, ...] | None:
        """Images of the source that are, or nearly are, a target's validation or test images; None where finding them
        takes more than `MOST_COMPARISONS`, which is left to who asks for it."""
        held_out = sum(len(target.validation) + len(target.test) for target in self.targets.values())
        if len(self.source) * held_out > MOST_COMPARISONS:
            return None
        return self.all_leaks()

    def all_leaks(self, progress: LabelledProgress | None = None) -> tuple[Leak, ...]:
        """The same, however long it takes."""
        return leaks_of(self.source, self.targets, self.cache_dir, progress)


def leaks_of(
    source: PackedDataset, targets: Mapping[str, Target], folder: Path | None, progress: LabelledProgress | None
) -> tuple[Leak, ...]:
    """The leaks of all targets, one target after the other; kept in the folder, if there is one."""
    tell = None if progress is None else functools.partial(progress, "comparing with the target, images")
    found = [find_leaks_once(source, _held_out(target), folder, tell) for target in targets.values()]
    return tuple(leak for each in found for leak in each)


def described(source: PackedDataset | Summary, target: Target) -> Description:
    """A source and a target in numbers."""
    return Description.of(source, target.key, target.classes, target.train.labels)


def require_different(targets: Mapping[str, Target]) -> None:
    """`InputError` for two names of the same training images with the same labels."""
    names: dict[str, str] = {}
    for name, target in targets.items() if len(targets) > 1 else ():
        told = hashlib.sha256(np.ascontiguousarray(target.train.images).data)
        told.update(target.train.labels.tobytes())
        other = names.setdefault(told.hexdigest(), name)
        if other != name:
            raise InputError(f"targets: {name!r} holds the same images as {other!r}; allowed: every target once")


def require_same_channels(problem: Problem) -> None:
    """`InputError` for a target whose images have another number of channels than the source's."""
    for name, target in problem.targets.items():
        channels = target.train.images.shape[1]
        if channels != problem.source.channels:
            raise InputError(
                f"targets: images of {name!r} have {channels} channel(s), those of the source "
                f"{problem.source.channels}; allowed: the source's number"
            )


def _held_out(target: Target) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.str_]]]:
    """Split -> images and names, of the splits whose names are known."""
    splits = {"validation": target.validation, "test": target.test}
    return {name: (split.images, split.names) for name, split in splits.items() if split.names is not None}
