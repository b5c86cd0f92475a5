"""What packing a pool costs: processor seconds and bytes of an image, by part.

`python -m benchmarks.packing --data-root DIR [--save]` packs real images: Tiny ImageNet's JPEGs of DIR at their own 64
pixels, and scikit-learn's two photographs, 640 x 427 pixels and so about as large as ImageNet's, at 96 and 224 pixels.

decode     read a JPEG and make it a square of that size
store      write the decoded images into a packed store: columns, checksum and files
verify     recompute the checksum of a store, as every machine does that has fetched it
piece      keep decoded images as pieces of a store, as each of several processes does
assemble   put pieces together into the store, as one process does at the end

One thread. Processor seconds, the lowest of some rounds, so that neither disks nor what others do on the machine count.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from sklearn.datasets import __file__ as datasets_file
from sklearn.datasets import load_sample_images

from bdw.data import pack_arrays
from bdw.data.decode import decode
from bdw.data.instances import Part
from bdw.data.pieces import Pieces
from bdw.storage.remote_folder import RemoteFolder
from benchmarks.harness import provenance, write_result

SETTINGS = (("tiny-imagenet", 64), ("photographs", 96), ("photographs", 224))
"""Images and the side in pixels to which they are packed."""


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    data_root: str
    """Folder with imagenet-mini-train.npz."""
    images: int = 512
    """Images of a round."""
    rounds: int = 5
    save: bool = False
    """Keep the result in benchmarks/results."""


def encoded(name: str, count: int, data_root: str) -> list[bytes]:
    """So many JPEG files, over and over if there are fewer."""
    if name == "photographs":
        folder = Path(datasets_file).parent / "images"
        files = [Path(path).read_bytes() for path in (folder / file for file in load_sample_images().filenames)]
    else:
        with np.load(Path(data_root) / "imagenet-mini-train.npz", allow_pickle=False) as arrays:
            data, offsets = arrays["data"], arrays["offsets"]
        files = [data[offsets[i] : offsets[i + 1]].tobytes() for i in range(min(count, len(offsets) - 1))]
    return list(itertools.islice(itertools.cycle(files), count))


def measure(files: Sequence[bytes], size: int, rounds: int) -> dict[str, Any]:
    """Bytes of an image, encoded and packed, and processor seconds of an image by part."""
    images = np.stack([decode(file, 3, size) for file in files])
    names = [f"{i:05d}" for i in range(len(files))]
    part = Part(
        names, np.full(len(files), -1), images.__getitem__, channels=3, fingerprint={"benchmark": size}, threads=1
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        store = pack_arrays(folder / "kept", images, names=names)
        pieces = Pieces.of(part, {}, size, RemoteFolder.at(str(folder / "pieces")))
        fresh = (folder / f"store-{number}" for number in itertools.count())

        def write_pieces() -> None:
            for number in range(len(pieces)):
                pieces.write(part, number)

        parts: dict[str, Callable[[], object]] = {
            "decode": lambda: [decode(file, 3, size) for file in files],
            "store": lambda: pack_arrays(next(fresh), images, names=names),
            "verify": store.verify,
            "piece": write_pieces,
            "assemble": lambda: pieces.assemble(next(fresh), classes=(), unused=(), origin={}),
        }
        seconds = {name: _processor_seconds(run, rounds) / len(files) for name, run in parts.items()}
    return {
        "size": size,
        "encoded_bytes": sum(map(len, files)) / len(files),
        "packed_bytes": images[0].nbytes,
        "seconds": seconds,
    }


def _processor_seconds(run: Callable[[], object], rounds: int) -> float:
    found = []
    for _ in range(rounds + 1):  # The first one warms up.
        began = time.process_time()
        run()
        found.append(time.process_time() - began)
    return min(found[1:])


def main(arguments: Arguments) -> None:
    """Measure every setting, and keep the result if asked to."""
    rows = []
    for name, size in SETTINGS:
        files = encoded(name, arguments.images, arguments.data_root)
        row = {"images": name, **measure(files, size, arguments.rounds)}
        rows.append(row)
        costs = ", ".join(f"{part} {1e6 * value:.0f}" for part, value in row["seconds"].items())
        print(
            f"{name}, {row['encoded_bytes'] / 1000:.1f} kB, at {size} pixels: {costs} microseconds an image", flush=True
        )
    if arguments.save:
        contents = {**provenance(0), "images": arguments.images, "rounds": arguments.rounds, "rows": rows}
        write_result("packing-cpu", contents, data_root=arguments.data_root)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
