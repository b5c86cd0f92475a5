"""What a step with weighting costs against a plain step of the same pretext task: `python -m benchmarks.pretext_steps`.

plain     `weighter uniform`
exact     the paper's method: weighter `beta`, prototypes of 10 classes with 5 shots and 5 queries, the exact gradient
          in every step
pretext   the same with the pretext loss of 64 target images as meta-loss, whose gradient has a part in the head
recipe    the recommended recipe in the half of the budget that learns

Steps are those of real runs of a small ResNet on random images of 32 pixels, batches of 64. Times are the processor's
of one thread; variants and tasks take turns. Verdicts, which fall between epochs, are not counted.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import tyro

from bdw.config import RunConfig
from bdw.config.presets import RECOMMENDED
from bdw.training.trainer import Trainer
from benchmarks.harness import interleaved_seconds, provenance, ratio, write_result
from benchmarks.random_problem import random_problem
from benchmarks.step_parts import run_steps

SIDE, BATCH = 32, 64
LEARNING_RATE = 1e-4
"""Small, so that no task leaves the finite numbers however often its step is repeated."""
STEPS = 8
"""In a round: the recipe asks the target in one of so many."""
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"weighter": "uniform"},
    "exact": {},
    "pretext": {"meta_loss": "pretext"},
    "recipe": RECOMMENDED,
}
LARGE_HEADS = ("barlow_twins", "vicreg")
"""Tasks whose head has the width that the command line says; others have their defaults."""


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    tasks: tuple[str, ...] = ("simclr", "barlow_twins", "vicreg")
    """Names of pretext tasks."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Which, `plain` among them."""
    head: int = 2048
    """Numbers in the hidden layers and the embeddings of Barlow Twins and VICReg; the papers' 8192 suit large encoders.
    """
    rounds: int = 5
    """How often each is timed."""
    save: bool = False
    """Keep the result in benchmarks/results."""
    seed: int = 0
    """Seed of the random images."""


def trainer_of(task: str, variant: str, head: int, folder: Path, seed: int = 0) -> Trainer:
    """A run before its first step; it writes into `folder` only."""
    folder.mkdir(parents=True)
    widths = {"pretext.hidden_dim": head, "pretext.projection_dim": head} if task in LARGE_HEADS else {}
    config = RunConfig().replace(
        source="random", target="random", image_size=SIDE, crop_size=SIDE, encoder="small_resnet", batch_size=BATCH,
        epochs=100, learning_rate=LEARNING_RATE, pretext=task, cache_dir=str(folder), run_dir=str(folder / "run"),
        **widths, **VARIANTS[variant],
    )  # fmt: skip
    return Trainer(config, problem=random_problem(folder, STEPS * BATCH, 3, SIDE, per_class=12, seed=seed))


def measure(arguments: Arguments) -> list[dict[str, Any]]:
    """For every task and variant milliseconds of a step and its ratio to the task's plain step."""
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Callable[[], float]] = {}
        for task in arguments.tasks:
            for variant in arguments.variants:
                place = Path(folder) / task / variant
                runs[f"{task} {variant}"] = partial(
                    run_steps, trainer_of(task, variant, arguments.head, place, arguments.seed), STEPS
                )
        seconds = interleaved_seconds(runs, arguments.rounds, time.process_time)
    rows: list[dict[str, Any]] = []
    for task in arguments.tasks:
        for variant in arguments.variants:
            name = f"{task} {variant}"
            median, low, high = ratio(seconds, name, f"{task} plain")
            milliseconds = 1000 * statistics.median(seconds[name]) / STEPS
            rows.append(
                {"task": task, "variant": variant, "ms": milliseconds, "ratio": median, "lowest": low, "highest": high}
            )
    return rows


def main(arguments: Arguments) -> None:
    """Measure, print a table, and keep the result if asked to."""
    torch.set_num_threads(1)
    rows = measure(arguments)
    print(f"\nsmall_resnet, {SIDE} pixels, batches of {BATCH}; heads of {', '.join(LARGE_HEADS)}: {arguments.head}")
    print(f"{'task':14} {'variant':9} {'ms':>8} {'x plain':>8} {'lowest':>8} {'highest':>8}")
    for row in rows:
        print(
            f"{row['task']:14} {row['variant']:9} {row['ms']:8.1f} {row['ratio']:8.2f} {row['lowest']:8.2f} "
            f"{row['highest']:8.2f}"
        )
    if arguments.save:
        setting = {"encoder": "small_resnet", "side": SIDE, "batch": BATCH, "head": arguments.head}
        write_result("pretext-steps-cpu", {**provenance(arguments.seed), "setting": setting, "steps": rows})


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=(__doc__ or "").splitlines()[0]))
