"""The tables of docs/scaling.md, from the constants that `benchmarks.scaling` measured.

`python -m benchmarks.scaling_model` prints them, with `--save` they take the place of those in the page.
"""

from __future__ import annotations

from dataclasses import dataclass

import tyro

from bdw.parallel.randomness import Randomness
from benchmarks.page_blocks import in_bytes, in_millions, in_percent, in_seconds, markdown, two_digits, write_block
from benchmarks.scaling_constants import AFTER_AN_EPOCH, Constants, measured

BEGIN, END = "<!-- tables: python -m benchmarks.scaling_model --save -->", "<!-- end of tables -->"

SOURCES = {"1.28 M": 1_281_167, "100 M": 100_000_000, "1 B": 1_000_000_000}
WORKERS = (8, 64, 512)
TOLERATED = 0.05
"""Share of the steps' time that what lies between two epochs may add."""
KEPT_ON_DISK = 4
"""Checkpoints that lie on rank 0's disk at most: the last two, the best epoch's, and the one that is being written."""

# Assumptions; docs/scaling.md says where each comes from. None of them was measured.
RATES = (1_000, 10_000)
"""Instances per second and GPU, the network and the weighter left out."""
BATCH = 128
"""Instances per GPU and step."""
MACHINE_LINK = 12.5e9
"""Bytes per second that gradients travel with from one machine of 8 GPUs to the next, and between two GPUs."""
SMALL_LINK = 1.25e9
"""The same for machines of one GPU."""
FLOW = 1.25e9
"""Bytes per second of one TCP connection: rows of the table, checkpoints on their way to the storage."""
DISK = 125 * 2**20
"""Bytes per second that rank 0's disk writes."""
MEMORIES = (16e9, 64e9)
"""Bytes of host memory per worker that the table may take at its peak."""
NOTICE = 120
"""Seconds from a spot notice to the end of the machine."""
IMAGE = 3 * 96 * 96
"""Bytes of a packed image of 96 x 96 pixels."""


@dataclass(frozen=True)
class Arguments:
    """Command line."""

    save: bool = False
    """Write the tables into docs/scaling.md."""


ONE_TAKES_ITS_PART = ("CDF", "table")
"""What needs no neighbour, so that every worker could do its part of the instances alone and tell the outcome."""


def end_of_epoch_seconds(constants: Constants, instances: float, workers: int) -> float:
    """What every worker does for all instances, and the rows of the others coming in."""
    computed = sum(times * constants.seconds[part] for part, times in AFTER_AN_EPOCH.items())
    return instances * (computed + _received(constants, workers) / FLOW)


def checkpoint_seconds(constants: Constants, instances: float, model: float = 0) -> float:
    """Seconds for rank 0 to write table, mask and `model` bytes to its disk, then to the storage; the others wait."""
    written = instances * constants.checkpoint + model
    return instances * constants.seconds["save"] + written * (1 / DISK + 1 / FLOW)


def between_epochs_seconds(constants: Constants, instances: float, workers: int, model: float = 0) -> float:
    """The end of an epoch and its checkpoint."""
    return end_of_epoch_seconds(constants, instances, workers) + checkpoint_seconds(constants, instances, model)


def warned_seconds(constants: Constants, instances: float, workers: int) -> float:
    """What follows on a spot notice: at most all rows are exchanged, then comes a checkpoint."""
    exchange = constants.seconds["exchange"] + _received(constants, workers) / FLOW
    return instances * exchange + checkpoint_seconds(constants, instances)


def divided_seconds(constants: Constants, instances: float, workers: int) -> float:
    """The same if every worker did CDF and table for its part of the instances and handed on 9 bytes of each."""
    saved = sum(AFTER_AN_EPOCH[part] * constants.seconds[part] for part in ONE_TAKES_ITS_PART)
    others = 1 - 1 / workers
    return between_epochs_seconds(constants, instances, workers) - instances * others * (saved - 9 / FLOW)


def sharded_seconds(constants: Constants, instances: float, workers: int) -> float:
    """The same if a worker held, trained on and saved its own instances only, on a disk of its own."""
    computed = sum(times * constants.seconds[part] for part, times in AFTER_AN_EPOCH.items() if part != "exchange")
    return (instances * computed + checkpoint_seconds(constants, instances)) / workers


def steps_seconds(constants: Constants, instances: float, workers: int, rate: float, encoder: str) -> float:
    """An epoch's steps: the GPU, the weighter, and two all-reduces that nothing overlaps with."""
    exchanged = step_bytes(constants, encoder, workers) / MACHINE_LINK
    return instances / workers * (1 / rate + constants.step + exchanged / BATCH)


def step_bytes(constants: Constants, encoder: str, workers: int) -> float:
    """What a worker sends in a step's two ring all-reduces."""
    sizes = constants.gradients[encoder]
    return 2 * (1 - 1 / workers) * (sizes["training_gradient"] + sizes["meta_gradient"])


def model_bytes(constants: Constants, encoder: str, workers: int) -> float:
    """Bytes of a checkpoint: the model, its momentum, the best model, and the random generators of every worker."""
    sizes = constants.gradients[encoder]
    generators = sum(state.numel() for state in Randomness(0).state_dict().values())
    return 2 * sizes["state"] + sizes["training_gradient"] + workers * generators


def checkpoint_bytes(constants: Constants, instances: float, encoder: str, workers: int) -> float:
    """Table, mask and model."""
    return instances * constants.checkpoint + model_bytes(constants, encoder, workers)


def largest_source(constants: Constants, memory: float) -> float:
    """Instances at which a worker's replica needs that memory, at the end of an epoch or on resuming."""
    return memory / max(constants.end_of_epoch_bytes, constants.resume_bytes)


def fastest_training(seconds_per_instance: float) -> float:
    """Instances per second of all workers together at which so many seconds add the tolerated share to the steps.

    Both grow with the number of instances alike, so that this does not depend on it.
    """
    return TOLERATED / seconds_per_instance


def tables(constants: Constants) -> str:
    """The answer and all tables of the page, as Markdown."""
    return "\n\n".join(
        [_answer(constants), _memory_table(constants), _step_table(constants), _epoch_table(constants),
         _limits_table(constants), _constants_table(constants)]
    )  # fmt: skip


def _received(constants: Constants, workers: int) -> float:
    return constants.exchanged * (1 - 1 / workers)


def _answer(constants: Constants) -> str:
    workers = max(WORKERS)
    small, large = (in_millions(largest_source(constants, each)) for each in MEMORIES)
    between = between_epochs_seconds(constants, 1, workers)
    limit = fastest_training(between)
    sent = step_bytes(constants, "resnet18", workers)
    warned = NOTICE / warned_seconds(constants, 1, workers)
    return "\n".join(
        [
            f"* **Shard for memory** above {small} instances with {in_bytes(MEMORIES[0])} of host memory per worker, "
            f"{large} with {in_bytes(MEMORIES[1])}: a replica holds {constants.state:.0f} bytes per instance and needs "
            f"{constants.end_of_epoch_bytes:.0f} at the end of an epoch, {constants.resume_bytes:.0f} when it resumes.",
            f"* **Shard for time** above {two_digits(limit)} instances per second of all GPUs together "
            f"({two_digits(limit / RATES[0])} GPUs that train {RATES[0]:,} each), whatever the source: every worker "
            f"spends {between * 1e6:.2f} microseconds per instance between two epochs, and more workers do not make "
            f"that less.",
            f"* **Spot machines** that are told {NOTICE} seconds before they go save sources of up to "
            f"{in_millions(warned)} instances in time.",
            f"* **A step does not know how large the source is**: with ResNet-18 every worker sends {in_bytes(sent)} "
            f"({in_seconds(sent / MACHINE_LINK)} at {in_bytes(MACHINE_LINK)}/s) and spends {constants.step * 1e6:.1f} "
            f"microseconds on the weight of an instance, be it one of {constants.fewest:,} or of "
            f"{constants.instances:,}.",
        ]
    )


def _constants_table(constants: Constants) -> str:
    rows = [
        [part, f"{constants.seconds[part] * 1e9:.0f}", f"{constants.peak[part]:.0f}", _when(part)]
        for part in constants.seconds
        if part not in ("step", "batches")
    ]
    return f"**Measured, per instance**, at {constants.instances:,} instances.\n\n" + markdown(
        ["part", "processor ns", "peak bytes", "how often"], rows
    )


def _when(part: str) -> str:
    times = AFTER_AN_EPOCH.get(part)
    if times is not None:
        return "every epoch, every worker" + (f", {times} x" if times > 1 else "")
    return {
        "save": "every checkpoint, rank 0",
        "load": "on resuming, one worker (part of resume)",
        "export": "once, rank 0",
        "resume": "on resuming, every worker",
        "planted": "every epoch, every worker, only for sources with planted junk",
    }[part]


def _memory_table(constants: Constants) -> str:
    checkpoints = {name: checkpoint_bytes(constants, n, "resnet18", max(WORKERS)) for name, n in SOURCES.items()}
    rows = [
        [
            name,
            in_bytes(n * constants.state),
            in_bytes(n * (constants.state + 2 * constants.order)),
            in_bytes(n * constants.end_of_epoch_bytes),
            in_bytes(n * constants.resume_bytes),
            in_bytes(checkpoints[name]),
            in_bytes(KEPT_ON_DISK * checkpoints[name]),
            in_bytes(n * constants.parquet),
            in_bytes(n * IMAGE),
        ]
        for name, n in SOURCES.items()
    ]
    return (
        "**Memory of every worker, and files**, the same for 8, 64 and 512 GPUs, since the table is replicated. "
        f"Checkpoints with ResNet-18 and {max(WORKERS)} workers; images of 96 x 96 pixels.\n\n"
    ) + markdown(
        [
            "instances",
            "state",
            "in training",
            "end of epoch, peak",
            "resuming, peak",
            "checkpoint",
            f"{KEPT_ON_DISK} on disk",
            "weights file",
            "(images)",
        ],
        rows,
    )


def _step_table(constants: Constants) -> str:
    rows = []
    for workers in WORKERS:
        row = [str(workers)]
        for encoder in constants.gradients:
            sent = step_bytes(constants, encoder, workers)
            row += [in_bytes(sent), in_seconds(sent / MACHINE_LINK), in_seconds(sent / SMALL_LINK)]
        rows.append(row)
    head = [
        name
        for encoder in constants.gradients
        for name in (encoder, f"at {in_bytes(MACHINE_LINK)}/s", f"at {in_bytes(SMALL_LINK)}/s")
    ]
    return "**Traffic per step**: sent by every worker in two ring all-reduces, whatever the source.\n\n" + markdown(
        ["GPUs", *head], rows
    )


def _epoch_table(constants: Constants) -> str:
    rows = []
    for name, n in SOURCES.items():
        for workers in WORKERS:
            model = model_bytes(constants, "resnet18", workers)
            between = between_epochs_seconds(constants, n, workers, model)
            steps = [steps_seconds(constants, n, workers, rate, "resnet18") for rate in RATES]
            rows.append(
                [
                    name,
                    str(workers),
                    in_bytes(n * _received(constants, workers)),
                    in_seconds(end_of_epoch_seconds(constants, n, workers)),
                    in_seconds(checkpoint_seconds(constants, n, model)),
                    *(f"{in_seconds(step + between)} (+{in_percent(between / step)})" for step in steps),
                ]
            )
    return (
        f"**Time per epoch**, nothing pruned yet, ResNet-18, {BATCH} instances per GPU and step: rows received by "
        "every worker, the end of the epoch, its checkpoint, and the whole epoch (in brackets what those two add to "
        "the steps).\n\n"
    ) + markdown(
        [
            "instances",
            "GPUs",
            "received",
            "end of epoch",
            "checkpoint",
            *(f"epoch at {rate:,}/s per GPU" for rate in RATES),
        ],
        rows,
    )


def _limits_table(constants: Constants) -> str:
    workers = max(WORKERS)
    per_instance = {
        "as it is": between_epochs_seconds(constants, 1, workers),
        "CDF and table divided": divided_seconds(constants, 1, workers),
    }
    rows = []
    for name, seconds in per_instance.items():
        limit = fastest_training(seconds)
        rows.append([name, f"{seconds * 1e9:.0f} ns", two_digits(limit), *(two_digits(limit / rate) for rate in RATES)])
    sharded = sharded_seconds(constants, 1, workers)
    shares = [f"any: +{in_percent(sharded * workers * rate)}" for rate in RATES]
    rows.append(["sharded by owner", f"{sharded * 1e9:.1f} ns", "any", *shares])
    memory = [
        [in_bytes(each), in_millions(largest_source(constants, each)), in_millions(each / constants.end_of_epoch_bytes)]
        for each in MEMORIES
    ]
    return (
        f"**When to shard, by time**: what lies between two epochs ({workers} workers, the model's part of the "
        f"checkpoint left out) adds less than {in_percent(TOLERATED)} to the steps up to these speeds, which are those "
        "of whole steps.\n\n"
        + markdown(
            [
                "between two epochs",
                "per instance",
                "instances/s of all GPUs",
                *(f"GPUs that train {rate:,}/s" for rate in RATES),
            ],
            rows,
        )
        + "\n\n**When to shard, by memory**: the largest source whose replica fits.\n\n"
        + markdown(["host memory per worker", "resuming included", "end of epoch alone"], memory)
    )


def main(arguments: Arguments) -> None:
    """Print the tables, or write them into the page."""
    made = tables(measured())
    if not arguments.save:
        print(made)
        return
    write_block(BEGIN, END, made)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
