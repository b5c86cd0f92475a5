"""How well the mean weight tells planted junk from real digits, by method: `python -m benchmarks.planted_junk`.

The source is 1,000 digits and 1,000 junk images (shuffled pixels, noise, stripes) of 16x16 pixels, the target other
digits. Nothing is pruned, so that the AUROC is over the whole source in every epoch. 0.5 is chance.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from bdw.config import RunConfig
from bdw.data import load
from bdw.trainer import iterate
from benchmarks.harness import provenance, spread, write_result
from benchmarks.methods import LEARNING
from sweeps.methods import chosen


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    methods: tuple[str, ...] = ("BDW meta_loss=prototype", "BDW meta_loss=pretext", "BDW meta_loss=prototype+pretext")
    """What to compare, as sweeps name a method: BDW or Counts and fields of the config."""
    seeds: int = 5
    """Runs a method."""
    epochs: int = 10
    """Epochs a run."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


def main(arguments: Arguments) -> None:
    """Run everything, print AUROCs by epoch, and keep them if asked to."""
    torch.set_num_threads(1)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        base = RunConfig.from_flat({"prune": False, "epochs": arguments.epochs, "device": "cpu", "report": False})
        problem = load(base.data, Path(folder))
        for number, method in enumerate(chosen(arguments.methods, LEARNING)):
            for seed in range(arguments.seeds):
                run_dir = str(Path(folder) / f"{number}-{seed}")
                config = base.replace(**method.fields, seed=seed, run_dir=run_dir)
                history = list(iterate(config, problem=problem))
                auroc = [report.planted_auroc for report in history]
                runs.append({"method": method.name, "seed": seed, "auroc": auroc})
                print(f"{method.name}\n  seed {seed}: " + " ".join(f"{value:.3f}" for value in auroc), flush=True)
    print(f"\n{'best epoch':>24} {'last epoch':>24}   (mean, lowest and highest of the seeds)")
    for name in dict.fromkeys(run["method"] for run in runs):
        curves = [run["auroc"] for run in runs if run["method"] == name]
        best, last = ([pick(curve) for curve in curves] for pick in (max, lambda curve: curve[-1]))
        print(f"{spread(best):>24} {spread(last):>24}   {name}")
    if arguments.save is not None:
        settings = {"epochs": arguments.epochs, "encoder": base.model.encoder}
        write_result(arguments.save, {**provenance(seed=0), **settings, "runs": runs})


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
