"""Are planted near-duplicates found, and how long does it take?

`python -m benchmarks.near_duplicates --data-root DIR [--save]`, DIR holding Tiny ImageNet as .npz file, plants copies
of pictures among them: a third re-encoded (JPEG, quality 75), a third shifted by a pixel, a third brighter or darker.
Recall and precision are over pairs. The search is timed on thumbnails of that many pictures more, which are the same
pictures turned over, without the time to read and decode them. How the limits were chosen: benchmarks/LOG.md.
"""

from __future__ import annotations

import io
import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from PIL import Image

from bdw.data import pack
from bdw.data.near_duplicates import near_duplicate_groups
from bdw.data.perceptual_hash import SIDE, grey_thumbnails
from benchmarks.harness import provenance, write_result

Pixels = NDArray[np.uint8]
SHIFTS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1))


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    data_root: str
    source: str = "imagenet-mini"
    images: int = 20_000
    planted: int = 1000
    timed: int = 100_000
    """Thumbnails of the timed search."""
    seed: int = 0
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Arguments) -> dict[str, Any]:
    """Measure and print; returns what is saved."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        wanted = max(arguments.images, min(arguments.timed // 4 + 1, arguments.images * 3 // 2))
        store = pack(
            arguments.source, Path(folder) / "packed", SIDE, data_root=arguments.data_root, max_images=wanted,
            seed=arguments.seed,
        )  # fmt: skip
        images = np.array(store.images)
    rng = np.random.default_rng(arguments.seed)
    few = images[: arguments.images]
    originals = rng.choice(len(few), arguments.planted, replace=False)
    copies = np.stack([changed(few[row], number, rng) for number, row in enumerate(originals)])
    began = time.perf_counter()
    groups = near_duplicate_groups(thumbnails_of(np.concatenate([few, copies])))
    seconds = time.perf_counter() - began
    recall = {
        how: float((groups[len(few) :] == groups[originals])[kind::3].mean())
        for kind, how in enumerate(("re-encoded", "shifted", "brighter or darker"))
    }
    pairs, true = found_pairs(groups, np.concatenate([np.arange(len(few)), originals]))
    result = {
        **provenance(arguments.seed),
        "source": arguments.source,
        "images": len(few),
        "planted": arguments.planted,
        "recall": round(float((groups[len(few) :] == groups[originals]).mean()), 4),
        "recall_by_kind": {how: round(value, 4) for how, value in recall.items()},
        "pairs_found": pairs,
        "precision": round(true / pairs, 4),
        "seconds": round(seconds, 1),
        "timed": arguments.timed,
        "search_seconds": round(search_seconds(thumbnails_of(images), arguments.timed), 1),
    }
    print({name: result[name] for name in list(result)[-9:]})
    if arguments.save:
        write_result("near-duplicates-cpu", result, data_root=arguments.data_root)
    return result


def changed(image: Pixels, number: int, rng: np.random.Generator) -> Pixels:
    """A near-duplicate of an image (c, s, s), of three kinds in turn."""
    kind, side = number % 3, image.shape[-1]
    if kind == 0:
        stream = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(stream, "JPEG", quality=75)
        return np.asarray(Image.open(stream)).transpose(2, 0, 1)
    if kind == 1:
        down, right = SHIFTS[number % len(SHIFTS)]
        padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge")
        return padded[:, 1 + down : 1 + down + side, 1 + right : 1 + right + side]
    brighter: Pixels = np.clip(image * rng.uniform(0.8, 1.2) + rng.uniform(-20, 20), 0, 255).round().astype(np.uint8)
    return brighter


def thumbnails_of(images: Pixels) -> torch.Tensor:
    """uint8 (n, s, s)."""
    return torch.cat([grey_thumbnails(part) for part in torch.from_numpy(images).split(4096)])


def found_pairs(groups: NDArray[np.int64], originals: NDArray[np.int64]) -> tuple[int, int]:
    """Pairs of images in one group, and those of them that have one original."""
    order = np.argsort(groups, kind="stable")
    together = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    pairs = [pair for rows in together for pair in itertools.combinations(rows.tolist(), 2)]
    return len(pairs), sum(int(originals[a] == originals[b]) for a, b in pairs)


def search_seconds(thumbnails: torch.Tensor, count: int) -> float:
    """Of the search among so many thumbnails: these, and these turned over."""
    turned = torch.cat([thumbnails, thumbnails.flip(2), thumbnails.flip(1), thumbnails.flip(1, 2)])[:count]
    if len(turned) < count:
        raise SystemExit(f"timed: {count} asks for more than the {len(turned)} pictures that there are, turned over")
    began = time.perf_counter()
    near_duplicate_groups(turned)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
