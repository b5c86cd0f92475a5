"""The section "1.28 M images, packed" of docs/scaling.md, from what `benchmarks.packing` measured.

`python -m benchmarks.packing_model` prints it, with `--save` it takes the place of the one in the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tyro

from benchmarks.harness import RESULTS
from benchmarks.page_blocks import write_block
from benchmarks.scaling_model import DISK, FLOW, SOURCES

BEGIN, END = "<!-- packing: python -m benchmarks.packing_model --save -->", "<!-- end of packing -->"

IMAGES = SOURCES["1.28 M"]

# Assumptions; docs/scaling.md says where each comes from. None of them was measured.
ENCODED = 147_897_477_120 / IMAGES
"""Bytes of one of ImageNet's JPEGs."""
PROCESSES = (1, 16, 128)
"""Processes of one CPU that decode."""
MACHINE = 8
"""Processes on a machine."""
LISTED_AT_ONCE, LISTING = 1000, 0.1
"""Names that one request to a bucket lists, and seconds that it takes."""
VOLUME = 100e9
"""Bytes of a machine's disk in aws.yaml."""


@dataclass(frozen=True)
class Arguments:
    """Command line."""

    save: bool = False
    """Write the section into docs/scaling.md."""


@dataclass(frozen=True)
class Packing:
    """Packing all images to squares of one size; seconds of every stage."""

    size: int
    """Pixels."""
    packed: float
    """Bytes of the store."""
    seconds: Mapping[str, float]
    """Processor seconds of an image by part, as measured."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Packing:
        """From a row of results/packing-cpu.json."""
        return cls(row["size"], IMAGES * row["packed_bytes"], row["seconds"])

    @property
    def listing(self) -> float:
        """The bucket's names, listed by who was asked to pack, and then by all processes at the same moment."""
        return 2 * -(-IMAGES // LISTED_AT_ONCE) * LISTING

    def decoding(self, processes: int) -> float:
        """Images to pieces. A machine decodes with its processors and reads and writes through one connection; the
        slower of both counts."""
        machines = -(-processes // MACHINE)
        computed = IMAGES * (self.seconds["decode"] + self.seconds["piece"]) / processes
        moved = (IMAGES * ENCODED + self.packed) / machines / FLOW
        return max(computed, moved)

    @property
    def assembling(self) -> float:
        """Pieces to the store, on one machine: read, hashed, written to its disk and put into the bucket."""
        computed = IMAGES * self.seconds["assemble"]
        return max(computed, self.packed / DISK) + 2 * self.packed / FLOW

    @property
    def fetching(self) -> float:
        """The store to the disk of a machine, and its checksum; all machines at the same moment."""
        return self.packed / min(DISK, FLOW) + max(IMAGES * self.seconds["verify"], self.packed / DISK)

    def packing(self, processes: int) -> float:
        """From the bucket of JPEGs to the store in the bucket."""
        return self.listing + self.decoding(processes) + self.assembling


def measured() -> dict[str, Any]:
    """The committed result."""
    contents: dict[str, Any] = json.loads((RESULTS / "packing-cpu.json").read_text(encoding="utf-8"))
    return contents


def section(result: Mapping[str, Any]) -> str:
    """All tables, as Markdown."""
    photographs = [Packing.of(row) for row in result["rows"] if row["images"] == "photographs"]
    return "\n\n".join([_measured_table(result), _minutes_table(photographs), _disks(photographs)])


def _measured_table(result: Mapping[str, Any]) -> str:
    rows = [
        "| images | kB encoded | pixels | kB packed | images/s: decode | store | verify | piece | assemble |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        rates = " | ".join(f"{_rounded(1 / row['seconds'][part]):,}" for part in
                           ("decode", "store", "verify", "piece", "assemble"))  # fmt: skip
        rows.append(
            f"| {row['images']} | {row['encoded_bytes'] / 1000:.1f} | {row['size']} | {row['packed_bytes'] / 1000:.1f} "
            f"| {rates} |"
        )
    return f"**Measured** on {result['hardware']}, one thread.\n\n" + "\n".join(rows)


def _minutes_table(packings: list[Packing]) -> str:
    heads = " | ".join(f"decode, {processes} process{'es' if processes > 1 else ''}" for processes in PROCESSES)
    rows = [
        f"| pixels | store | list | {heads} | assemble | all, {PROCESSES[-1]} processes | fetch, each machine |",
        "| ---: | ---: | ---: |" + " ---: |" * (len(PROCESSES) + 3),
    ]
    for each in packings:
        stages = [each.listing, *map(each.decoding, PROCESSES), each.assembling, each.packing(PROCESSES[-1])]
        minutes = " | ".join(f"{_minutes(seconds)}" for seconds in [*stages, each.fetching])
        rows.append(f"| {each.size} | {each.packed / 1e9:.1f} GB | {minutes} |")
    return f"**{IMAGES:,} JPEGs of ImageNet's size** ({IMAGES * ENCODED / 1e9:.0f} GB in a bucket).\n\n" + "\n".join(
        rows
    )


def _disks(packings: list[Packing]) -> str:
    lines = []
    for each in packings:
        free = VOLUME - each.packed
        room = f"leaves {free / 1e9:.0f} GB" if free > 0 else f"lacks {-free / 1e9:.0f} GB"
        lines.append(f"{each.packed / 1e9:.1f} GB at {each.size} pixels {room} of {VOLUME / 1e9:.0f} GB")
    return (
        f"**Disks**: the machine that assembles and every machine that trains hold one store, {', '.join(lines)}. The "
        "bucket holds the store, and the pieces (as large again) until it is whole."
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 7200 else f"{seconds / 60:.1f} min"


def _rounded(rate: float) -> int:
    """To two digits: more would be noise."""
    digits = max(0, len(str(int(rate))) - 2)
    return int(round(rate, -digits))


def main(arguments: Arguments) -> None:
    """Print the section, and write it into the page if asked to."""
    made = section(measured())
    print(made)
    if arguments.save:
        write_block(BEGIN, END, made)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
