"""Are crops of held-out images found in a pool, and is nothing else?

`python -m benchmarks.cropped_leaks --data-root DIR [--save]`, DIR holding Tiny ImageNet as .npz file. Part of a pool
are crops of held-out pictures: 50 to 95 % of a side, at any place, resized to 64 pixels and encoded again (JPEG,
quality 85), every third mirrored, every third brighter or darker. As many held-out pictures have none. The limit was
chosen on seed 0.
"""

from __future__ import annotations

import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from PIL import Image

from bdw.data import pack
from bdw.data.cropped_leaks import find_cropped_leaks, small_pictures
from bdw.data.leaks import find_leaks
from benchmarks.harness import provenance, write_result

Pixels = NDArray[np.uint8]
SIDE = 64
KINDS = ("plain", "mirrored", "brighter or darker")


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    data_root: str
    source: str = "imagenet-mini"
    images: int = 10_000
    """Of the pool."""
    planted: int = 300
    """Crops among them, and held-out pictures that have none."""
    seeds: tuple[int, ...] = (1, 2)
    """Of pictures and crops."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Arguments) -> dict[str, Any]:
    """Measure and print; returns what is saved."""
    torch.set_num_threads(1)
    wanted = arguments.images + 2 * arguments.planted
    rows = []
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            store = pack(
                arguments.source, Path(folder) / "packed", SIDE, data_root=arguments.data_root, max_images=wanted,
                seed=seed,
            )  # fmt: skip
            rows.append(_measured(np.array(store.images), arguments.planted, seed))
        print(rows[-1], flush=True)
    result = {**provenance(arguments.seeds[0]), "source": arguments.source, "images": arguments.images, "runs": rows}
    if arguments.save:
        write_result("cropped-leaks-cpu", result, data_root=arguments.data_root)
    return result


def _measured(images: Pixels, planted: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    images = images[rng.permutation(len(images))]
    held_out, pool = images[: 2 * planted], images[2 * planted :]
    shares = rng.uniform(0.5, 0.95, planted)
    pool[:planted] = [
        crop(image, share, number, rng) for number, (image, share) in enumerate(zip(held_out, shares, strict=False))
    ]
    source: Any = _Pool(images=pool, names=np.arange(len(pool)).astype(str))
    splits = {"test": (held_out, np.arange(len(held_out)).astype(str))}
    began = time.process_time()
    found = find_cropped_leaks(source, splits, small_pictures)
    seconds = time.process_time() - began
    right = {leak.row for leak in found if leak.row == int(leak.held_out)}
    by_hash = {leak.row for leak in find_leaks(source, splits)}
    return {
        "seed": seed,
        "planted": planted,
        "recall": round(len(right) / planted, 4),
        "recall_by_kind": {kind: round(_share(right, planted, i), 4) for i, kind in enumerate(KINDS)},
        "recall_below_0.7_of_a_side": round(float(np.mean([i in right for i in np.flatnonzero(shares < 0.7)])), 4),
        "found": len(found),
        "precision": round(len(right) / max(len(found), 1), 4),
        "wrong": [(leak.row, int(leak.held_out)) for leak in found if leak.row != int(leak.held_out)],
        "recall_of_whole_images": round(len(by_hash & set(range(planted))) / planted, 4),
        "processor_seconds_a_held_out_image": round(seconds / len(held_out), 4),
    }


class _Pool(SimpleNamespace):
    """Images with names."""

    def __len__(self) -> int:
        return len(self.images)


def _share(right: set[int], planted: int, kind: int) -> float:
    return sum(row % len(KINDS) == kind for row in right) / len(range(kind, planted, len(KINDS)))


def crop(image: Pixels, share: float, number: int, rng: np.random.Generator) -> Pixels:
    """A part (c, s, s) of an image of that size, of three kinds in turn."""
    size = round(share * SIDE)
    left, top = (int(place) for place in rng.integers(0, SIDE - size + 1, 2))
    part = Image.fromarray(image.transpose(1, 2, 0)).crop((left, top, left + size, top + size))
    stream = io.BytesIO()
    part.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=85)
    found = np.asarray(Image.open(stream)).transpose(2, 0, 1)
    if KINDS[number % 3] == "mirrored":
        return found[..., ::-1]
    if KINDS[number % 3] == "plain":
        return found
    changed: Pixels = np.clip(found * rng.uniform(0.8, 1.2) + rng.uniform(-20, 20), 0, 255).round().astype(np.uint8)
    return changed


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
