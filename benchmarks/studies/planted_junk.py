"""How well the mean weight tells planted junk from real digits, by method: `python -m benchmarks.studies.planted_junk`.

The source is 1,000 digits and 1,000 junk images (shuffled pixels, noise, stripes) of 16x16 pixels, the target other
digits. Nothing is pruned, so that the AUROC is over the whole source in every epoch. 0.5 is chance, as it is for
the shares of digits and of junk that would be kept if half of the source were pruned. What one visit to an image says
is given by itself: d', how far it tells digits from junk, by value and by sign, and its signal-to-noise between single
images, all in standard deviations of one visit's noise.
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
from bdw.training.trainer import iterate
from benchmarks.harness import VISIT, provenance, signal_of, spread, write_result
from benchmarks.methods import LEARNING
from benchmarks.studies.equal_pruning import KEPT, shares_kept
from benchmarks.studies.subsets import final_mean_weights
from sweeps.runner.methods import chosen


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
        settings = {"prune": False, "device": "cpu", "report": False, "diagnose_signal": True}
        base = RunConfig().replace(**{**settings, "epochs": arguments.epochs})
        problem = load(base.data, Path(folder))
        for number, method in enumerate(chosen(arguments.methods, LEARNING)):
            for seed in range(arguments.seeds):
                run_dir = str(Path(folder) / f"{number}-{seed}")
                config = base.replace(**method.fields, seed=seed, run_dir=run_dir)
                history = list(iterate(config, problem=problem))
                auroc = [report.planted_auroc for report in history]
                assert problem.source.planted is not None
                kept = shares_kept(final_mean_weights(run_dir), problem.source.planted)
                runs.append({"method": method.name, "seed": seed, "auroc": auroc, **kept, **signal_of(run_dir)})
                curve, visit = " ".join(f"{value:.3f}" for value in auroc), runs[-1]["d_prime"]
                print(f"{method.name}\n  seed {seed}: {curve}  d' of a visit {visit}", flush=True)
    columns = ("best epoch", "last epoch", *KEPT, "d' of a visit", "d' of its sign", "signal-to-noise")
    print("\n" + " ".join(f"{name:>24}" for name in columns) + "   (mean, lowest and highest of the seeds)")
    for name in dict.fromkeys(run["method"] for run in runs):
        curves = [run["auroc"] for run in runs if run["method"] == name]
        best, last = ([pick(curve) for curve in curves] for pick in (max, lambda curve: curve[-1]))
        visits = [[run[key] for run in runs if run["method"] == name] for key in (*KEPT, *VISIT)]
        print(" ".join(f"{spread(values):>24}" for values in (best, last, *visits)) + f"   {name}")
    if arguments.save is not None:
        settings = {"epochs": arguments.epochs, "encoder": base.encoder.encoder}
        write_result(arguments.save, {**provenance(seed=0), **settings, "runs": runs})


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
