"""The tables of docs/scaling.md, from the constants that `benchmarks.scaling` measured.

`python -m benchmarks.scaling_model` prints them, with `--save` they take the place of those in the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import tyro

from bdw.atomic import write_text
from bdw.randomness import Randomness
from benchmarks.harness import RESULTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- tables: python -m benchmarks.scaling_model --save -->", "<!-- end of tables -->"

SOURCES = {"1.28 M": 1_281_167, "100 M": 100_000_000, "1 B": 1_000_000_000}
WORKERS = (8, 64, 512)
THROUGHPUTS = (2_000, 10_000)
"""Images per second and GPU of the training steps: assumptions, no GPU was measured."""
LINK = 1.25e9
"""Bytes per second that a worker's share of the network carries (100 Gbit/s for 8 GPUs): an assumption."""
LARGE = 10_000_000
"""Instances from which no table fits into a cache."""
TOLERATED = 0.05
"""Share of an epoch's training time that the end of the epoch may add."""
MEMORIES = (16e9, 64e9)
"""Bytes of host memory per worker that the table may take at its peak: assumptions."""


@dataclass(frozen=True)
class Arguments:
    """Command line."""

    save: bool = False
    """Write the tables into docs/scaling.md."""


@dataclass(frozen=True)
class Constants:
    """Of one instance, on one worker."""

    instances: int
    """In the largest source that was measured."""
    state: float
    """Bytes held all the time."""
    seconds: Mapping[str, float]
    """By part."""
    peak: Mapping[str, float]
    """Bytes beyond what was held before, by part; results included."""
    checkpoint: float
    """Bytes on disk."""
    parquet: float
    """Bytes on disk."""
    exchanged: float
    """Bytes that the worker that touched the row sends."""
    gradients: Mapping[str, Mapping[str, int]]
    """Bytes by encoder."""

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Self:
        """From the contents of results/scaling-cpu.json.

        Bytes are those of the largest source at which a part was measured. Seconds are the lowest of the sources from
        `LARGE` on: smaller ones profit from caches, and what others did on the machine differs from size to size.
        """
        largest: dict[str, Mapping[str, Any]] = {}
        seconds: dict[str, float] = {}
        for cost in sorted(result["costs"], key=lambda cost: cost["instances"]):
            part, each = cost["part"], cost["seconds"] / cost["instances"]
            seconds[part] = min(each, seconds.get(part, each)) if _is_large(largest.get(part)) else each
            largest[part] = cost
        return cls(
            instances=max(cost["instances"] for cost in largest.values()),
            state=sum(result["state_bytes"].values()),
            seconds=seconds,
            peak={part: cost["peak_bytes"] / cost["instances"] for part, cost in largest.items()},
            checkpoint=result["made_bytes"]["checkpoint"],
            parquet=result["made_bytes"]["parquet"],
            exchanged=result["made_bytes"]["handed_over"],
            gradients=result["gradient_bytes"],
        )

    @property
    def order(self) -> float:
        """Bytes of the epoch's order as int64, held while the epoch lasts."""
        return 8.0

    @property
    def end_of_epoch_bytes(self) -> float:
        """State, order and the largest temporaries of what follows an epoch."""
        return self.state + self.order + max(self.peak[part] for part in AFTER_AN_EPOCH)

    @property
    def resume_bytes(self) -> float:
        """State, and the copies that a checkpoint passes through on its way to every worker."""
        return self.state + self.peak["resume"]


AFTER_AN_EPOCH = {"exchange": 1, "catch up": 1, "CDF": 1, "table": 2, "digest": 1, "order": 1}
"""How often every worker does each part between the last step of an epoch and the first of the next."""
ONE_TAKES_ITS_PART = ("CDF", "table")
"""What needs no neighbour, so that every worker could do its part of the instances alone and tell the outcome."""


def end_of_epoch_seconds(constants: Constants, instances: float, workers: int) -> float:
    """What one worker does for all instances, and the rows of the others coming through its link."""
    computed = sum(times * constants.seconds[part] for part, times in AFTER_AN_EPOCH.items())
    return instances * (computed + _transferred(constants, workers) / LINK)


def divided_seconds(constants: Constants, instances: float, workers: int) -> float:
    """The same if every worker did CDF and table for its part of the instances and handed on 9 bytes of each."""
    saved = sum(AFTER_AN_EPOCH[part] * constants.seconds[part] for part in ONE_TAKES_ITS_PART)
    others = 1 - 1 / workers
    return end_of_epoch_seconds(constants, instances, workers) - instances * others * (saved - 9 / LINK)


def sharded_seconds(constants: Constants, instances: float, workers: int) -> float:
    """The same if a worker held and trained on its own instances only; a bit of each keep mask goes to all."""
    computed = sum(times * constants.seconds[part] for part, times in AFTER_AN_EPOCH.items() if part != "exchange")
    return instances * (computed / workers + (1 - 1 / workers) / 8 / LINK)


def training_seconds(instances: float, workers: int, throughput: float) -> float:
    """An epoch's steps at that many images per second and worker."""
    return instances / (workers * throughput)


def step_bytes(constants: Constants, encoder: str, workers: int) -> float:
    """What a worker sends in a step's two ring all-reduces."""
    sizes = constants.gradients[encoder]
    return 2 * (1 - 1 / workers) * (sizes["training_gradient"] + sizes["meta_gradient"])


def checkpoint_bytes(constants: Constants, instances: float, encoder: str, workers: int) -> float:
    """Table and mask, the model, its momentum and the best model, and the random generators of every worker."""
    sizes = constants.gradients[encoder]
    generators = sum(state.numel() for state in Randomness(0).state_dict().values())
    return instances * constants.checkpoint + 2 * sizes["state"] + sizes["training_gradient"] + workers * generators


def largest_source(constants: Constants, memory: float) -> float:
    """Instances at which a worker's replica needs that memory, at the end of an epoch or on resuming."""
    return memory / max(constants.end_of_epoch_bytes, constants.resume_bytes)


def fastest_training(seconds_per_instance: float) -> float:
    """Images per second of all workers together at which the end of an epoch takes the tolerated share of training.

    Both grow with the number of instances alike, so that this does not depend on it.
    """
    return TOLERATED / seconds_per_instance


def tables(constants: Constants) -> str:
    """All tables of the page, as Markdown."""
    return "\n\n".join(
        [_constants_table(constants), _memory_table(constants), _step_table(constants), _epoch_table(constants),
         _limits_table(constants)]
    )  # fmt: skip


def _is_large(cost: Mapping[str, Any] | None) -> bool:
    return cost is not None and cost["instances"] >= LARGE


def _transferred(constants: Constants, workers: int) -> float:
    return constants.exchanged * (1 - 1 / workers)


def _constants_table(constants: Constants) -> str:
    rows = [
        [part, f"{constants.seconds[part] * 1e9:.0f}", f"{constants.peak[part]:.0f}", _when(part)]
        for part in constants.seconds
        if part not in ("step", "batches")
    ]
    return f"**Measured, per instance** (largest source: {constants.instances:,}).\n\n" + _markdown(
        ["part", "ns", "peak bytes", "how often"], rows
    )


def _when(part: str) -> str:
    times = AFTER_AN_EPOCH.get(part)
    if times is not None:
        return "every epoch, every worker" + (f", {times} x" if times > 1 else "")
    return {
        "save": "every checkpoint, rank 0",
        "load": "on resuming, rank 0 (part of resume)",
        "export": "once, rank 0",
        "resume": "on resuming, every worker",
        "planted": "every epoch, every worker, only for sources with planted junk",
    }[part]


def _memory_table(constants: Constants) -> str:
    rows = [
        [
            name,
            _bytes(n * constants.state),
            _bytes(n * (constants.state + 2 * constants.order)),
            _bytes(n * constants.end_of_epoch_bytes),
            _bytes(n * constants.resume_bytes),
            _bytes(checkpoint_bytes(constants, n, "resnet18", max(WORKERS))),
            _bytes(n * constants.parquet),
        ]
        for name, n in SOURCES.items()
    ]
    return "**Memory of every worker, and files** (the same for 8, 64 and 512 GPUs: the table is replicated).\n\n" + (
        _markdown(
            [
                "instances",
                "state",
                "while training",
                "end of epoch, peak",
                "resuming, peak",
                f"checkpoint, ResNet-18, {max(WORKERS)} GPUs",
                "weights file",
            ],
            rows,
        )
    )


def _step_table(constants: Constants) -> str:
    rows = [
        [str(workers), *(_bytes(step_bytes(constants, encoder, workers)) for encoder in constants.gradients)]
        for workers in WORKERS
    ]
    return "**Traffic per step**: sent by every worker in two ring all-reduces, float32, whatever the source.\n\n" + (
        _markdown(["GPUs", *constants.gradients], rows)
    )


def _epoch_table(constants: Constants) -> str:
    rows = []
    for name, n in SOURCES.items():
        for workers in WORKERS:
            end = end_of_epoch_seconds(constants, n, workers)
            steps = [training_seconds(n, workers, throughput) for throughput in THROUGHPUTS]
            rows.append(
                [
                    name,
                    str(workers),
                    _bytes(n * _transferred(constants, workers)),
                    _seconds(end),
                    *(f"{_seconds(step)} (+{_percent(end / step)})" for step in steps),
                    _seconds(divided_seconds(constants, n, workers)),
                    _seconds(sharded_seconds(constants, n, workers)),
                ]
            )
    return (
        "**Per epoch, nothing pruned yet**: rows received by every worker, seconds between two epochs, seconds of the "
        "steps (and what the end of the epoch adds to them), and what the end of the epoch would take if changed.\n\n"
    ) + _markdown(
        [
            "instances",
            "GPUs",
            "received",
            "end of epoch",
            *(f"steps at {throughput:,}/s/GPU" for throughput in THROUGHPUTS),
            "CDF and table divided",
            "sharded",
        ],
        rows,
    )


def _limits_table(constants: Constants) -> str:
    workers = max(WORKERS)
    per_instance = {
        "as it is": end_of_epoch_seconds(constants, 1, workers),
        "CDF and table divided over the workers": divided_seconds(constants, 1, workers),
        f"sharded by owner, {workers} GPUs": sharded_seconds(constants, 1, workers),
    }
    rows = []
    for name, seconds in per_instance.items():
        limit = fastest_training(seconds)
        rows.append(
            [name, f"{seconds * 1e9:.0f} ns", f"{limit:,.0f}", *(f"{limit / each:,.0f}" for each in THROUGHPUTS)]
        )
    memory = [
        [_bytes(each), _count(largest_source(constants, each)), _count(each / constants.end_of_epoch_bytes)]
        for each in MEMORIES
    ]
    return (
        f"**When to shard, by time**: the end of the epoch stays below {TOLERATED:.0%} of the steps up to these rates, "
        "whatever the source.\n\n"
        + _markdown(
            [
                "end of epoch",
                "per instance",
                "images/s of all GPUs",
                *(f"GPUs at {throughput:,}/s" for throughput in THROUGHPUTS),
            ],
            rows,
        )
        + "\n\n**When to shard, by memory**: the largest source whose replica fits.\n\n"
        + _markdown(["host memory for it per worker", "resuming included", "end of epoch alone"], memory)
    )


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---:"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bytes(size: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{_three_digits(size / unit)} {name}"
    return f"{_three_digits(size / 1e3)} kB"


def _seconds(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= unit:
            return f"{_three_digits(seconds / unit)} {name}"
    return f"{_three_digits(seconds * 1000)} ms"


def _count(number: float) -> str:
    return f"{_three_digits(number / 1e9)} B" if number >= 1e9 else f"{_three_digits(number / 1e6)} M"


def _percent(share: float) -> str:
    return f"{_three_digits(100 * share)} %"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def measured() -> Constants:
    """Those of the committed result."""
    return Constants.of(json.loads((RESULTS / "scaling-cpu.json").read_text(encoding="utf-8")))


def main(arguments: Arguments) -> None:
    """Print the tables, or write them into the page."""
    made = tables(measured())
    if not arguments.save:
        print(made)
        return
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    write_text(PAGE, f"{before}{BEGIN}\n\n{made}\n\n{END}{after}")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
