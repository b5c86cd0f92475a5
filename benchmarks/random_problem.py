"""A source and a target of random pixels, for benchmarks that want the sizes of real ones but no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bdw.data import LabelledImages, PackedDataset, Problem, Target

CLASSES = 10
ROWS = 4096
"""Images that are drawn and written at a time."""


def random_problem(folder: Path, instances: int, channels: int, side: int, per_class: int, seed: int = 0) -> Problem:
    """So many source images, memory-mapped as a packed store is, and as many target images a class in each split."""
    rng = np.random.default_rng(seed)
    shape = (instances, channels, side, side)
    file = folder / "images.npy"
    written = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    for start in range(0, instances, ROWS):
        rows = written[start : start + ROWS]
        rows[:] = np.frombuffer(rng.bytes(rows.size), dtype=np.uint8).reshape(rows.shape)
    written.flush()
    del written
    source = PackedDataset(
        path=folder,
        images=np.load(file, mmap_mode="r"),
        labels=np.full(instances, -1, dtype=np.int64),
        names=np.char.mod("%07d", np.arange(instances)),
        planted=None,
        planted_kinds=None,
        header={"content_key": f"random-{instances}-{seed}", "skipped": [], "classes": []},
    )
    labels = np.arange(CLASSES, dtype=np.int64).repeat(per_class)
    pixels = rng.integers(0, 256, (len(labels), *shape[1:]), dtype=np.uint8)
    images = LabelledImages(pixels, labels)
    target = Target(images, images, images, tuple(map(str, range(CLASSES))), f"random-{seed}")
    return Problem(source, {"target": target})
