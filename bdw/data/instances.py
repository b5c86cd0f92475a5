"""What a reader hands over to be packed: an indexed collection of images that are decoded one at a time.

Random access matters: a subset of a million files is drawn before anything is decoded, and nothing but the image at
hand is in memory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bdw.data.image_kinds import reads_heif

if TYPE_CHECKING:
    from bdw.data.packed import PackedDataset

Pixels = NDArray[np.uint8]
"""An image: uint8 (channels, height, width)."""

_MOST_AHEAD = 256
"""Images decoded before any of them is handed on."""
_SECONDS_AHEAD = 0.5
"""Decoding so far ahead may take about that long, so that whoever packs hears soon of a wish to stop."""


class UndecodableImageError(Exception):
    """One image that cannot be used; its message is the reason that the header lists."""


class UnreadableImageError(UndecodableImageError):
    """One image that could not be read this time (no right to, a failing disk); nothing is known of its contents."""


@dataclass(frozen=True)
class Instance:
    """One decoded image with what is known about it."""

    name: str
    image: Pixels
    label: int = -1
    """Class number, -1 for unlabelled."""
    planted: int = -1
    """1 useful, 0 planted junk, -1 unknown."""
    kind: str = ""
    """What a planted image is (`digit`, `noise`, ...)."""


@dataclass(frozen=True)
class Skipped:
    """What is not used, and why: an image that cannot be decoded, or files that are no images."""

    name: str
    """Of the file, or of the first of several; a folder's ends in a slash."""
    reason: str
    count: int = 1
    """How many files or folders this stands for."""
    is_unread: bool = False
    """Whether it could not be read, rather than decoded: a missing right or a failing disk, which may pass."""

    def entry(self) -> dict[str, Any]:
        """The JSON object that a packed store's header lists."""
        entry: dict[str, Any] = {"name": self.name, "reason": self.reason}
        return entry | ({"count": self.count} if self.count > 1 else {}) | ({"unread": True} if self.is_unread else {})


def counts_in_words(counted: Mapping[str, int]) -> list[str]:
    """A sentence for each thing that images were found to have."""
    return [f"{count:,} images {what}" for what, count in counted.items() if count]


@dataclass(frozen=True)
class Part:
    """Images of one split, in a fixed order; `read(i)` decodes the i-th to uint8 (channels, size, size)."""

    names: Sequence[str]
    labels: NDArray[np.int64]
    read: Callable[[int], Pixels]
    """Raises UndecodableImageError for an image that is to be skipped."""
    channels: int
    fingerprint: Mapping[str, object]
    """JSON values that tell this content from any other; a packed copy is reused as long as they are the same."""
    classes: tuple[str, ...] = ()
    planted: NDArray[np.int8] | None = None
    kinds: NDArray[np.str_] | None = None
    remarks: Callable[[], Sequence[str]] = tuple
    """Sentences on what became of images, once all are read."""
    counted: Callable[[], Mapping[str, int]] = dict
    """What images were found to have (`have a single pixel`) -> how many of those that were read so far."""
    unused: Sequence[Skipped] = ()
    """What lies beside the images and is none of them; listed with those that cannot be decoded."""
    threads: int | None = None
    """How many images to read side by side; None for as many as there are processors, up to eight."""
    packed: PackedDataset | None = field(default=None, compare=False)
    """The store that already holds exactly this, so that nothing needs packing."""

    def __post_init__(self) -> None:
        for column in (self.labels, self.planted, self.kinds):
            if column is not None and len(column) != len(self.names):
                raise ValueError(f"{len(self.names)} names but a column of {len(column)} values")

    def __len__(self) -> int:
        return len(self.names)

    def select(self, indices: NDArray[np.int64]) -> Part:
        """The images at these positions, in this order."""
        whole = self
        digest = hashlib.sha256(np.ascontiguousarray(indices, dtype="<i8").tobytes()).hexdigest()
        return dataclasses.replace(
            self,
            names=[self.names[i] for i in indices],
            labels=self.labels[indices],
            read=lambda i: whole.read(int(indices[i])),
            fingerprint={**self.fingerprint, "selection": digest},
            planted=None if self.planted is None else self.planted[indices],
            kinds=None if self.kinds is None else self.kinds[indices],
            packed=None,
        )

    def told(self) -> list[str]:
        """All sentences on what became of images, once all are read."""
        return [*self.remarks(), *counts_in_words(self.counted())]

    def instances(self) -> Iterator[Instance | Skipped]:
        """All images in order, decoded by a few threads (Pillow releases the interpreter lock while it decodes).

        What is unused comes at the end.
        """
        reads_heif()  # From here on Pillow opens HEIC, where it can, whatever the files' endings say.
        threads = self.threads or min(8, os.cpu_count() or 1)
        start, ahead = 0, 2 * threads
        with ThreadPoolExecutor(threads) as pool:
            while start < len(self):
                chunk, began = range(start, min(start + ahead, len(self))), time.monotonic()
                # Filters belong to the process, so they are set here around a whole chunk and never in the threads.
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", module=r"PIL")
                    done = list(pool.map(self._instance, chunk))
                took, start = time.monotonic() - began, chunk.stop
                if took < _SECONDS_AHEAD / 2:
                    ahead = min(2 * ahead, _MOST_AHEAD)
                elif took > _SECONDS_AHEAD:
                    ahead = max(ahead // 2, threads)
                yield from done
        yield from self.unused

    def _instance(self, i: int) -> Instance | Skipped:
        try:
            image = self.read(i)
        except UndecodableImageError as error:
            return Skipped(self.names[i], str(error), is_unread=isinstance(error, UnreadableImageError))
        return Instance(
            self.names[i],
            image,
            int(self.labels[i]),
            -1 if self.planted is None else int(self.planted[i]),
            "" if self.kinds is None else str(self.kinds[i]),
        )
