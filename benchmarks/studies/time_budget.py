"""Does a run with a time budget end in time, and what is it worth? `python -m benchmarks.studies.time_budget`.

On digits and planted junk: how long learning in every step takes is measured first, then budgets are shares of that.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import tyro

from bdw.config import RunConfig
from bdw.data import load
from bdw.data.source_and_targets import Problem
from bdw.training.trainer import Trainer
from benchmarks.harness import provenance, write_result


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    shares: tuple[float, ...] = (1.2, 0.9, 0.7, 0.5, 0.3)
    """Budgets, in relation to the time that a run without one takes."""
    seeds: int = 3
    """Runs a budget."""
    epochs: int = 30
    """Epochs that are wanted."""
    weight_lr: float = 100.0
    """eta."""
    max_source: int | None = None
    """Source images; default: all 2,000."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


def main(arguments: Arguments) -> None:
    """Print a line a run, how many ended late, and keep all of it if asked to."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        base = RunConfig().replace(**
            {
                "epochs": arguments.epochs, "weight_lr": arguments.weight_lr, "device": "cpu",
                "max_source": arguments.max_source, "evaluate_every": max(1, arguments.epochs // 6),
            }
        )  # fmt: skip
        problem = load(base.data, Path(folder))
        for seed in range(arguments.seeds):
            config = base.replace(seed=seed)
            rows.append(run(config.replace(run_dir=f"{folder}/{seed}"), problem))
            whole = rows[-1]["seconds"]
            for number, share in enumerate(arguments.shares):
                minutes = share * whole / 60
                rows.append(run(config.replace(run_dir=f"{folder}/{seed}-{number}", time_budget=minutes), problem))
    late = [row["seconds"] / row["budget"] for row in rows if row["budget"] and row["seconds"] > row["budget"]]
    worst = f", the worst by {100 * (max(late) - 1):.1f} %" if late else ""
    print(f"{len(late)} of {sum(row['budget'] is not None for row in rows)} runs ended late{worst}")
    if arguments.save is not None:
        settings = {"epochs": arguments.epochs, "weight_lr": arguments.weight_lr}
        write_result(arguments.save, {**provenance(seed=0), **settings, "runs": rows})


def run(config: RunConfig, problem: Problem) -> dict[str, Any]:
    """Train, print and return what it took (seconds, the last evaluation included) and what was done."""
    trainer = Trainer(config, problem=problem)
    every = [report.meta_every for report in trainer.epochs()]
    minutes, seconds = config.budget.time_budget, trainer.state.clock.seconds()
    results = pq.read_table(trainer.run.results).to_pylist()
    row = {
        "seed": config.optimiser.seed,
        "budget": None if minutes is None else 60 * minutes,
        "seconds": seconds,
        "epochs": len(every),
        "meta_every": every,
        "meta_batch": [report.meta_batch for report in trainer.history],
        "target_instances": trainer.history[-1].target_instances_seen,
        "accuracy": next(result["value"] for result in results if result["metric"] == "accuracy"),
    }
    stretches = [f"{len(list(group))} x {interval}" for interval, group in itertools.groupby(every)]
    images = statistics.mean(row["meta_batch"])
    print(
        f"seed {row['seed']}  {seconds:6.1f} s of {'-' if minutes is None else f'{60 * minutes:.1f}':>6}  "
        f"{len(every)} epochs, learning every {', '.join(stretches)} steps from {images:.0f} images on average  "
        f"accuracy {row['accuracy']:.4f}",
        flush=True,
    )
    return row


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
