"""Does the learnt weight say which images of a real mixture are of the target's own domain?

`python -m benchmarks.studies.usefulness --data-root DIR` blends several data sets into one unlabelled source, takes
some of them as the target, one after the other, and measures how well the mean weight tells that domain's images from
all others: area under the ROC curve, average precision beside the base rate, and the shares that would be kept of the
domain and of the others if half of the source were pruned; and how far one visit to an image tells them apart (d', in
standard deviations of its noise). Likeness of domains is what this asks for; whether the images help is another
question.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import tyro
from sklearn.metrics import average_precision_score

from bdw.config import RunConfig, presets
from bdw.training.trainer import iterate
from benchmarks.harness import VISIT, provenance, signal_of, spread, write_result
from benchmarks.methods import LEARNING, as_text
from benchmarks.studies.equal_pruning import KEPT, shares_kept
from sweeps.runner.methods import chosen

RAISED = (
    "BDW meta_loss=pretext relative_derivatives=true centred_derivatives=true direction_momentum=0.9 "
    "direction_parameters=head"
)
RANKED = as_text("BDW", presets.RANKED)


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    data_root: str
    """Folder with the data sets as .npz files."""
    domains: tuple[str, ...] = ("cifar10", "gtsrb", "kmnist", "omniglot", "vgg-flowers", "pedestrians")
    """Domains of the mixture."""
    targets: tuple[str, ...] = ("cifar10", "gtsrb", "kmnist", "vgg-flowers")
    """Targets among these domains."""
    methods: tuple[str, ...] = ("BDW meta_loss=pretext", RAISED, RANKED)
    """What to compare, as sweeps name a method: BDW or Counts and fields of the config."""
    seeds: tuple[int, ...] = (0, 1)
    epochs: int = 10
    max_source: int = 3000
    """Images of the mixture, drawn from all members together."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


def main(arguments: Arguments) -> None:
    """Print a line a run and means over targets and seeds, and keep all of it if asked to."""
    torch.set_num_threads(1)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for target in arguments.targets:
            for method in chosen(arguments.methods, LEARNING):
                for seed in arguments.seeds:
                    config = _config(arguments, target, seed, folder).replace(**method.fields)
                    runs.append({"method": method.name, "target": target, "seed": seed, **_measured(config, folder)})
                    _print(runs[-1])
    print(
        "\nmeans over targets and seeds (lowest to highest): AUROC at the last epoch; average precision / base rate; "
        "share kept of the useful and of the useless if half is pruned; d' of a visit and of its sign; its "
        "signal-to-noise between images"
    )
    for name in dict.fromkeys(run["method"] for run in runs):
        own = [run for run in runs if run["method"] == name]
        lifts = [run["average_precision"] / run["base_rate"] for run in own]
        measured = [[run["auroc"][-1] for run in own], lifts, *([run[key] for run in own] for key in (*KEPT, *VISIT))]
        print("   ".join([*map(spread, measured), name]))
    if arguments.save is not None:
        contents = {**provenance(arguments.seeds[0]), "arguments": vars(arguments), "runs": runs}
        write_result(arguments.save, contents, data_root=arguments.data_root)


def _config(arguments: Arguments, target: str, seed: int, folder: str) -> RunConfig:
    """The digits' small net and pictures of 16 pixels; a fifth of the target's images is its own, nothing is pruned."""
    return RunConfig().replace(
        source=f"mixture:{'+'.join(arguments.domains)}",
        target=target,
        target_fraction=0.2,
        data_root=arguments.data_root,
        cache_dir=f"{folder}/packed",
        max_source=arguments.max_source,
        epochs=arguments.epochs,
        seed=seed,
        prune=False,
        report=False,
        diagnose_signal=True,
        device="cpu",
    )


def _measured(config: RunConfig, folder: str) -> dict[str, Any]:
    run_dir = tempfile.mkdtemp(dir=folder)
    reports = list(iterate(config.replace(run_dir=run_dir)))
    weights = pq.read_table(Path(run_dir) / "instance_weights.parquet").to_pandas()
    planted = weights["planted"].to_numpy()
    return {
        "auroc": [round(report.planted_auroc, 4) for report in reports],
        "average_precision": round(float(average_precision_score(planted, weights["mean"])), 4),
        "base_rate": round(float(planted.mean()), 4),
        **shares_kept(weights["mean"].to_numpy(), planted),
        **signal_of(run_dir),
        "seconds": round(sum(report.seconds for report in reports), 2),
    }


def _print(run: dict[str, Any]) -> None:
    curve = " ".join(f"{value:.3f}" for value in run["auroc"])
    print(
        f"{run['target']:14} seed {run['seed']}  AUROC {curve}  AP {run['average_precision']:.3f} "
        f"(base {run['base_rate']:.3f})  half pruned: kept {run['useful_kept']:.2f} of useful, "
        f"{run['useless_kept']:.2f} of useless  d' of a visit {run['d_prime']}  {run['method']}",
        flush=True,
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments))
