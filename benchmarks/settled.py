"""What it saves to stop learning weights once they have settled, and what it costs: `python -m benchmarks.settled`.

On digits and planted junk, runs that learn to the end and runs that stop train an epoch each in turns, plain training
beside them, so that whatever else the machine does hits all alike.
"""

from __future__ import annotations

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
from bdw.data.problem import Problem
from bdw.trainer import Trainer
from benchmarks.harness import provenance, spread, write_result
from benchmarks.methods import LEARNING
from sweeps.methods import Method, chosen

PLAIN = Method("plain", {"weighter": "uniform"})


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    methods: tuple[str, ...] = (
        "BDW eta=1000",
        "BDW eta=1000 settled_epochs=3",
        "BDW eta=1000 settled_epochs=1",
        "BDW eta=100",
        "BDW eta=100 settled_epochs=3",
        "BDW eta=100 settled_epochs=1",
    )
    """What to compare, as sweeps name a method."""
    seeds: int = 5
    """Runs a method."""
    epochs: int = 30
    """Epochs a run."""
    max_source: int | None = None
    """Source images; default: all 2,000."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


def main(arguments: Arguments) -> None:
    """Train all, print what each method took in relation to plain training and what it reached, and keep it if asked
    to."""
    torch.set_num_threads(1)
    methods = [PLAIN, *chosen(arguments.methods, LEARNING)]
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        base = RunConfig.from_flat(
            {
                "epochs": arguments.epochs, "evaluate_every": arguments.epochs, "device": "cpu",
                "checkpoint_every": arguments.epochs, "max_source": arguments.max_source,
            }
        )  # fmt: skip
        problem = load(base.data, Path(folder))
        for seed in range(arguments.seeds):
            runs += in_turns(base.replace(seed=seed), methods, problem, f"{folder}/{seed}")
            for run in runs[-len(methods) :]:
                print(
                    f"seed {seed}  {run['ratio']:5.2f} times plain  {run['epochs_learnt']:3} epochs learnt  "
                    f"{run['useful']:5} useful and {run['junk']:5} junk images kept  accuracy {run['accuracy']:.4f}  "
                    f"{run['method']}",
                    flush=True,
                )
    print(f"\n{'times plain':>24} {'epochs learnt':>14} {'accuracy':>24}   (mean, lowest and highest of the seeds)")
    for method in methods:
        own = [run for run in runs if run["method"] == method.name]
        learnt = statistics.mean(run["epochs_learnt"] for run in own)
        ratios, accuracies = ([run[key] for run in own] for key in ("ratio", "accuracy"))
        print(f"{spread(ratios):>24} {learnt:>14.1f} {spread(accuracies):>24}   {method.name}")
    if arguments.save is not None:
        settings = {"epochs": arguments.epochs, "encoder": base.model.encoder}
        write_result(arguments.save, {**provenance(seed=0), **settings, "runs": runs})


def in_turns(base: RunConfig, methods: list[Method], problem: Problem, folder: str) -> list[dict[str, Any]]:
    """One run a method, an epoch of each in turns; seconds are of training steps, in relation to the first method."""
    trainers = [
        Trainer(base.replace(**method.fields, run_dir=f"{folder}-{number}"), problem=problem)
        for number, method in enumerate(methods)
    ]
    for _ in zip(*(trainer.epochs() for trainer in trainers), strict=True):
        pass
    seconds = [sum(report.seconds for report in trainer.history) for trainer in trainers]
    planted = torch.from_numpy(problem.source.planted)
    found = []
    for method, trainer, own in zip(methods, trainers, seconds, strict=True):
        last, kept = trainer.history[-1], trainer.mask.kept
        results = pq.read_table(trainer.run.results).to_pylist()
        found.append(
            {
                "method": method.name,
                "seed": base.optimiser.seed,
                "seconds": own,
                "ratio": own / seconds[0],
                "weighting_seconds": last.weighting_seconds,
                "saved_seconds": last.saved_seconds,
                "epochs_learnt": sum(report.meta_every > 0 for report in trainer.history),
                "useful": int(kept[planted == 1].sum()),
                "junk": int(kept[planted == 0].sum()),
                "accuracy": next(row["value"] for row in results if row["metric"] == "accuracy"),
            }
        )
    return found


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
