"""Which of the target's held-out images the source holds too: the method may see them, a reader of scores should know.

Nothing is removed. Two images are the same if all their packed pixels are; or if their files have a name that no other
has, and their pixels differ by little: the same picture, saved anew. Images of a single colour are nobody's. What is
found is kept, since finding it takes a look at every image of the source.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bdw.data.packed import PackedDataset
from bdw.storage.atomic_write import write_text

NEARLY = 8.0
"""Grey levels, of 255, by which images of the same name may differ on average and still be the same picture."""

_PROBE = 64
_ROWS = 65536


Images = tuple[NDArray[np.uint8], NDArray[np.str_]]
"""Images uint8 (n, c, h, w) and their names (n,)."""


def shared_images_once(source: PackedDataset, held_out: Mapping[str, Images], folder: Path) -> dict[str, int]:
    """What `shared_images` finds, kept in a file of that folder whose name follows from the contents of both sides."""
    digest = hashlib.sha256(repr((_PROBE, NEARLY)).encode())
    for split, (images, names) in held_out.items():
        digest.update(json.dumps([split, images.shape, names.tolist()]).encode())
        digest.update(np.ascontiguousarray(images).data)
    path = folder / f"held-out-{source.content_key}-{digest.hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(path.read_bytes())
        if isinstance(kept, dict) and kept.keys() <= held_out.keys() and all(type(n) is int for n in kept.values()):
            return kept
    found = shared_images(source, held_out)
    with contextlib.suppress(OSError):  # A folder that cannot be written costs the next start another look.
        write_text(path, json.dumps(found))
    return found


def shared_images(source: PackedDataset, held_out: Mapping[str, Images]) -> dict[str, int]:
    """How many images of each held-out split the source holds; splits of which it holds none are left out."""
    wanted: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for split, (images, _) in held_out.items():
        for i, probe in enumerate(_probes(images)):
            if np.ptp(images[i]) > 0:
                wanted[probe].append((split, i))
    found: dict[str, set[int]] = {split: set() for split in held_out}
    for row, probe in enumerate(_all_probes(source.images)):
        for split, i in wanted.get(probe, ()):
            if i not in found[split] and np.array_equal(held_out[split][0][i], source.images[row]):
                found[split].add(i)
    row_of = _unique_names(source.names)
    for split, (images, names) in held_out.items():
        for name, i in _unique_names(names).items():
            if name in row_of and i not in found[split]:
                difference = np.abs(images[i].astype(np.int16) - source.images[row_of[name]])
                if difference.mean() <= NEARLY and np.ptp(images[i]) > 0:
                    found[split].add(i)
    return {split: len(rows) for split, rows in found.items() if rows}


def _all_probes(images: NDArray[np.uint8]) -> Iterator[bytes]:
    for start in range(0, len(images), _ROWS):
        yield from _probes(images[start : start + _ROWS])


def _probes(images: NDArray[np.uint8]) -> list[bytes]:
    """Some neighbouring bytes of the middle of each image: one page of a memory map, and nearly as telling as all."""
    flat = images.reshape(len(images), -1)
    middle = flat.shape[1] // 2
    return [bytes(row) for row in np.ascontiguousarray(flat[:, middle : middle + _PROBE])]


def _unique_names(names: NDArray[np.str_]) -> dict[str, int]:
    """Row by file name, without folders and ending, of names that occur once and hold more than a number."""
    stems = [name.rpartition("/")[2].rpartition(".")[0] for name in names.tolist()]
    times = Counter(stems)
    return {stem: row for row, stem in enumerate(stems) if times[stem] == 1 and not stem.isdigit() and stem}
