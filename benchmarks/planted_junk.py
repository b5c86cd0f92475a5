"""How well the mean weight tells planted junk from real digits, by meta-loss: `python -m benchmarks.planted_junk`.

The source is 1,000 digits and 1,000 junk images (shuffled pixels, noise, stripes) of 16x16 pixels, the target other
digits. Nothing is pruned, so that the AUROC is over the whole source in every epoch. 0.5 is chance.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from bdw.config import RunConfig
from bdw.data import load
from bdw.trainer import iterate
from benchmarks.harness import provenance, write_result


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    meta_losses: tuple[str, ...] = ("prototype", "pretext", "prototype+pretext")
    """Meta-losses to compare."""
    seeds: int = 5
    """Runs a meta-loss."""
    epochs: int = 10
    """Epochs a run."""
    weight_lr: float = 1.0
    """eta."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Arguments) -> None:
    """Run everything, print AUROCs by epoch, and keep them if asked to."""
    torch.set_num_threads(1)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        base = RunConfig.from_flat(
            {"prune": False, "epochs": arguments.epochs, "weight_lr": arguments.weight_lr, "device": "cpu"}
        )
        problem = load(base.data, Path(folder))
        for meta_loss in arguments.meta_losses:
            for seed in range(arguments.seeds):
                run_dir = str(Path(folder) / f"{meta_loss}-{seed}")
                config = base.replace(meta_loss=meta_loss, seed=seed, run_dir=run_dir)
                history = list(iterate(config, problem=problem))
                auroc = [report.planted_auroc for report in history]
                runs.append({"meta_loss": meta_loss, "seed": seed, "auroc": auroc})
                print(f"{meta_loss:20} seed {seed}: " + " ".join(f"{value:.3f}" for value in auroc), flush=True)
    print(f"\n{'meta-loss':20} {'best epoch':>24} {'last epoch':>24}   (mean, lowest and highest of the seeds)")
    for meta_loss in arguments.meta_losses:
        curves = [run["auroc"] for run in runs if run["meta_loss"] == meta_loss]
        best, last = ([pick(curve) for curve in curves] for pick in (max, lambda curve: curve[-1]))
        print(f"{meta_loss:20} {_spread(best):>24} {_spread(last):>24}")
    if arguments.save:
        settings = {"epochs": arguments.epochs, "weight_lr": arguments.weight_lr, "encoder": base.model.encoder}
        write_result("planted-junk-cpu", {**provenance(seed=0), **settings, "runs": runs})


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
