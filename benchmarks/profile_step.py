"""Where the time of a training step goes: `make profile` or `python -m benchmarks.profile_step`.

gather               source images by index, from memory or from the memory map
augment              crop, flip, to float
views                the pretext task's views (four rotations)
weights: sample      weights of the batch drawn from the table
forward, backward    the weighted pretext loss
optimiser            gradients set to none, SGD
meta pass: draw      target images gathered, augmented and, where the pretext loss needs them, turned
meta pass: forward   the meta-loss
meta pass: backward  its gradient v, over all workers
tangents             all inner products <v, grad L_i>
weights: update      evidence shared, the table's step; the host waits for the device here
checks               losses as numbers, finite or not, wishes to save
rest                 copies of the parameters, sums, reports, and whatever has no part of its own

The steps are those of a real run. What share of them the model spends waiting for images is printed below the table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from bdw.config import presets
from bdw.training.trainer import Trainer
from benchmarks.harness import provenance, write_result
from benchmarks.methods import ALL
from benchmarks.random_problem import random_problem
from benchmarks.step_parts import PARTS, WAITING, PartClock, run_steps
from sweeps.runner.methods import chosen


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    preset: str = "digits"
    """Settings of the run."""
    settings: str = "BDW"
    """Further settings, as sweeps name a method: BDW, Counts or RotNet, and fields of the config."""
    data_root: str | None = None
    """Folder with what the preset needs."""
    random: int | None = None
    """Take this number of images of random pixels instead, RGB and of the preset's size."""
    steps: int = 60
    """How many are timed, after a fifth as many to warm up."""
    threads: int = 1
    """torch's threads."""
    trace: str | None = None
    """Also write a trace of three steps for chrome://tracing or ui.perfetto.dev into this file."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


@dataclass(frozen=True)
class Profile:
    """Times of some steps."""

    steps: int
    seconds: Mapping[str, float]
    """By part; they add up to all of the steps' time."""
    seconds_without_clock: float
    """Seconds of the same number of steps without the clock around their parts."""

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())

    @property
    def waiting(self) -> float:
        """Share of the time in which the model waits for images."""
        return sum(self.seconds[part] for part in WAITING) / self.total


def trainer_of(arguments: Arguments, folder: Path) -> Trainer:
    """The run that the arguments describe, before its first step; it writes into `folder` only."""
    (method,) = chosen([arguments.settings], ALL)
    config = presets.build(arguments.preset).replace(
        **method.fields, data_root=arguments.data_root, cache_dir=str(folder), run_dir=str(folder / "run")
    )
    if arguments.random is None:
        return Trainer(config)
    per_class = max(config.meta.shots + config.meta.queries, -(-config.meta.target_batch // 10))
    return Trainer(config, problem=random_problem(folder, arguments.random, 3, config.data.image_size, per_class))


def profile(trainer: Trainer, steps: int) -> Profile:
    """Time `steps` steps as they are and by parts, one after the other, after a fifth as many."""
    run_steps(trainer, max(1, steps // 5))
    # In turns, so that a machine that slows down hits both.
    clock, without, rounds = PartClock(trainer.device), 0.0, min(4, steps)
    for number in range(rounds):
        part = steps * (number + 1) // rounds - steps * number // rounds
        without += run_steps(trainer, part)
        run_steps(trainer, part, clock)
    return Profile(steps, clock.seconds, without)


def table(found: Profile) -> str:
    """Milliseconds a step and share, by part, and what they add up to."""
    lines = [f"{'part':20} {'ms a step':>10} {'share':>8}"]
    for part in PARTS:
        seconds = found.seconds[part]
        bar = "#" * round(40 * seconds / found.total)
        lines.append(f"{part:20} {1000 * seconds / found.steps:10.3f} {seconds / found.total:8.1%}  {bar}".rstrip())
    lines.append(f"{'total':20} {1000 * found.total / found.steps:10.3f} {1:8.1%}")
    untimed = found.seconds_without_clock
    added = found.total / untimed - 1
    lines.append(f"without the clock {1000 * untimed / found.steps:.3f} ms a step (the clock adds {added:.1%})")
    lines.append(f"waiting for images ({', '.join(WAITING)}): {found.waiting:.2%}")
    return "\n".join(lines)


def write_trace(trainer: Trainer, file: Path) -> None:
    """A Chrome trace of three steps that names the parts."""
    with torch.profiler.profile() as profiler:
        run_steps(trainer, 3, PartClock(trainer.device, trace=True))
    profiler.export_chrome_trace(str(file))


def main(arguments: Arguments) -> None:
    """Profile, print the table, write the trace and keep the result if asked to."""
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(arguments, Path(folder))
        print(f"{arguments.preset}, {arguments.settings}: {arguments.steps} steps on {trainer.device}", flush=True)
        found = profile(trainer, arguments.steps)
        print(table(found))
        if arguments.trace is not None:
            write_trace(trainer, Path(arguments.trace))
            print(f"trace: {arguments.trace}")
        seed = trainer.config.optimiser.seed
    if arguments.save is not None:
        contents = {
            **provenance(seed), "preset": arguments.preset, "method": arguments.settings, "steps": found.steps,
            "random_images": arguments.random, "total_ms": 1000 * found.total / found.steps, "waiting": found.waiting,
            "milliseconds": {part: 1000 * seconds / found.steps for part, seconds in found.seconds.items()},
            "without_clock_ms": 1000 * found.seconds_without_clock / found.steps,
        }  # fmt: skip
        write_result(arguments.save, contents, data_root=arguments.data_root)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=(__doc__ or "").splitlines()[0]))
