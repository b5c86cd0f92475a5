"""Which target image serves for what: a pure function of labels, so that it can be checked before any image is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bdw.config import DataConfig
from bdw.data import splits
from bdw.data.instances import Part
from bdw.data.packed import PackedDataset
from bdw.data.readers.base import SplitName
from bdw.errors import InputError

TEST_FRACTION = 0.2
"""Share of every class held out as test images where a target comes without any."""

_HOLD_OUTS: tuple[SplitName, ...] = ("test", "validation")


@dataclass(frozen=True, eq=False)
class Share:
    """The images of one split: rows of the part that they come from, and their labels 0 to C - 1."""

    part: SplitName
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Assignment:
    """The three splits, and the names of the classes that have training images."""

    classes: tuple[str, ...]
    shares: Mapping[SplitName, Share]


def assign(config: DataConfig, parts: Mapping[SplitName, Part] | Mapping[SplitName, PackedDataset]) -> Assignment:
    """Number the classes from 0, hold out the splits that the target lacks, and limit the training images.

    Fractions are of what the target came with, so a plain folder splits 60 : 20 : 20 by default. InputError for missing
    labels, fewer than two classes, a class too small to be split, or one that only occurs outside the training images.
    """
    train = parts["train"]
    require_labels(train, config.target)
    counts = np.bincount(train.labels)
    classes = tuple(train.classes[label] for label in np.flatnonzero(counts))
    if len(classes) < 2:
        raise InputError(f"target: {config.target!r} has only the class {classes[0]!r}; allowed: at least 2 classes")
    needed = 1 + sum(split not in parts for split in _HOLD_OUTS)
    for name, count in zip(classes, counts[counts > 0], strict=True):
        if count < needed:
            raise InputError(
                f"target: class {name!r} of {config.target!r} has {count} image(s); "
                f"allowed: at least {needed}, one for every split"
            )
    if not {"test", "validation"} & parts.keys() and config.validation_fraction + TEST_FRACTION >= 1:
        raise InputError(
            f"validation_fraction: {config.validation_fraction} and {TEST_FRACTION} for the test split leave nothing "
            f"to train on; allowed: less than {1 - TEST_FRACTION:g}, since {config.target!r} comes without splits"
        )
    labels = {split: _renumbered(part, classes, split, config.target) for split, part in parts.items()}

    shares = {split: Share(split, np.arange(len(part)), labels[split]) for split, part in parts.items()}
    rows = shares["train"].rows
    left = 1.0
    for stream, split in enumerate(_HOLD_OUTS):
        if split not in parts:
            # The second hold-out is drawn from what the first has left, so its fraction of that is larger.
            wanted = TEST_FRACTION if split == "test" else config.validation_fraction
            kept, out = splits.hold_out(
                labels["train"][rows], min(wanted / left, 1.0), config.data_seed, classes, stream
            )
            shares[split] = Share("train", rows[out], labels["train"][rows[out]])
            rows = rows[kept]
            left -= wanted
    if config.max_train_per_class is not None:
        rows = rows[splits.limit_per_class(labels["train"][rows], config.max_train_per_class, config.data_seed)]
    shares["train"] = Share("train", rows, labels["train"][rows])
    return Assignment(classes, shares)


def require_labels(train: Part | PackedDataset, spec: str) -> None:
    """InputError if training images of a target have no label."""
    unlabelled = int((train.labels < 0).sum())
    if unlabelled:
        raise InputError(
            f"target: {unlabelled} of {len(train)} images of {spec!r} have no label; "
            "allowed: labelled data (an image folder with one sub-folder per class, for example)"
        )


def _renumbered(part: Part | PackedDataset, classes: tuple[str, ...], split: str, spec: str) -> NDArray[np.int64]:
    """The part's labels as positions in `classes`."""
    used = {part.classes[label] if label >= 0 else "(none)" for label in np.unique(part.labels)}
    unknown = sorted(used - set(classes))
    if unknown:
        raise InputError(
            f"target: images of {split} in {spec!r} have classes without training images: {', '.join(unknown[:5])}"
        )
    position = {name: i for i, name in enumerate(classes)}
    return np.array([position.get(name, -1) for name in part.classes], dtype=np.int64)[part.labels]
