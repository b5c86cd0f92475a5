"""Does the learnt weight find the images of a few classes among many, from few labelled examples of each?

`python -m benchmarks.studies.label_usefulness --data-root DIR` takes ten classes of Tiny ImageNet for the target, with
few labelled images of each, and other images of all classes, without labels and equally many of each, for the source.
Useful are those of the target's classes, one in twenty; the run is not told. Other seeds have other classes. Measured
is, after every epoch, how well the mean weight tells useful images from the others: area under the ROC curve, and
average precision over the share of useful images (lift). By chance they are 0.5 and 1. At the end, the shares of useful
and of useless images that would be kept if half of the source were pruned. `told` is the lift of a classifier on the
encoder's features that was told which images are useful: a ceiling.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import tyro
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from bdw.config import RunConfig
from bdw.data import load
from bdw.evaluation.planted_auroc import planted_auroc
from bdw.runs.directory import RunDirectory
from bdw.runs.trajectory import Trajectory
from bdw.training.trainer import Trainer
from bdw.weighting.weighters.beta import concentrations, mean_weight
from benchmarks.harness import signal_of, spread
from benchmarks.methods import LEARNING
from benchmarks.studies.ceiling import told_scores
from benchmarks.studies.cells import CellArguments, Rows, work_through
from benchmarks.studies.class_subsets import SOURCE, TARGET, ClassSubsets
from benchmarks.studies.equal_pruning import KEPT, shares_kept
from benchmarks.studies.usefulness import RANKED
from sweeps.runner.episode_designs import Design, Room
from sweeps.runner.methods import Method, chosen

BDW = {"BDW": LEARNING["BDW"]}
"""What has a trajectory to be judged after every epoch."""


@dataclass(frozen=True, kw_only=True)
class Arguments(CellArguments):
    """Command line of this benchmark."""

    methods: tuple[str, ...] = (
        "BDW meta_loss=pretext",
        "BDW meta_loss=prototype",
        RANKED,
        "BDW meta_loss=prototype relative_derivatives=true centred_derivatives=true direction_momentum=0.9 "
        "shared_derivatives=true normalise_weights=true",
    )
    """What to compare, as sweeps name a method: BDW and fields of the config."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of runs; each has its own classes, too."""
    data_set: str = "imagenet-mini"
    """Data set of many classes; only its training images are used."""
    classes: int = 10
    """Classes of the target."""
    source_per_class: int = 20
    """Images of every class in the source."""
    train_per_class: int = 40
    """Labelled images of each of the target's classes to train with."""
    held_out_per_class: int = 20
    """The same for each of validation and test."""
    epochs: int = 10
    image_size: int = 32
    """Side in pixels."""
    encoder: str = "small_cnn"


def main(arguments: Arguments) -> None:
    """Print a line a run and means over seeds, and keep all of it if asked to."""
    chosen(arguments.methods, BDW)
    _print_summary(work_through(arguments, measured, summary, by="methods"))


def measured(arguments: Arguments, method: str, seed: int, folder: str) -> Rows:
    """The run of one method on the classes of this seed."""
    (found,) = chosen([method], BDW)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        subsets = ClassSubsets.drawn(
            Path(arguments.data_root) / f"{arguments.data_set}-train.npz",
            classes=arguments.classes,
            source=arguments.source_per_class,
            splits=(arguments.train_per_class, *2 * (arguments.held_out_per_class,)),
            seed=seed,
        )
        subsets.write(Path(own))
        config = _config(arguments, found, seed, own)
        problem = load(config.data, Path(own))
        config = config.replace(**Room.of(problem.description).largest_within(Design.of(config)).fields)
        trainer = Trainer(config, problem=problem)
        reports = list(trainer.epochs())
        run = RunDirectory(Path(config.output.run_dir))
        weights = pq.read_table(run.instance_weights, columns=["name", "mean"])
        useful = subsets.useful(weights["name"].to_pylist())
        row: dict[str, Any] = {
            "method": method,
            "seed": seed,
            "classes": subsets.class_names,
            "base_rate": round(float(useful.mean()), 5),
            **curves(Trajectory(run.trajectory), useful),
            **shares_kept(weights["mean"].to_numpy(), useful),
            "told_lift": round(float(average_precision_score(useful, told_scores(trainer, useful)) / useful.mean()), 4),
            "signal_to_noise": signal_of(run.path)["signal_to_noise"],
            "seconds": round(sum(report.seconds for report in reports), 2),
        }
    auroc, lift = (" ".join(f"{value:.3f}" for value in row[name]) for name in ("auroc", "lift"))
    print(f"seed {seed} {row['seconds']:6.1f} s  AUROC {auroc}  lift {lift}  {found.name}", flush=True)
    return [row]


def _config(arguments: Arguments, method: Method, seed: int, folder: str) -> RunConfig:
    """The digits' settings for larger pictures; nothing is pruned, so that all of the source is judged."""
    base = RunConfig().replace(
        source=f"{folder}/{SOURCE}",
        target=f"{folder}/{TARGET}",
        cache_dir=f"{folder}/packed",
        run_dir=f"{folder}/run",
        image_size=arguments.image_size,
        crop_size=arguments.image_size,
        crop_padding=arguments.image_size // 8,
        encoder=arguments.encoder,
        epochs=arguments.epochs,
        evaluate_every=arguments.epochs,
        checkpoint_every=arguments.epochs,
        seed=seed,
        prune=False,
        report=False,
        record_trajectory=True,
        diagnose_signal=True,
        device="cpu",
    )
    return base.replace(**method.fields)


def curves(trajectory: Trajectory, useful: NDArray[np.int8]) -> dict[str, list[float]]:
    """After every epoch, how well the mean weight tells the useful images (n,), 1 or 0: AUROC, average precision, and
    lift, which is average precision over the share of useful images."""
    found: dict[str, list[float]] = {"auroc": [], "average_precision": [], "lift": []}
    for epoch in trajectory.epochs():
        means = mean_weight(*concentrations(torch.from_numpy(trajectory.read(epoch))))
        precision = float(average_precision_score(useful, means))
        values = (planted_auroc(means, useful), precision, precision / float(useful.mean()))
        for curve, value in zip(found.values(), values, strict=True):
            curve.append(round(value, 4))
    return found


def summary(runs: Rows) -> dict[str, Any]:
    """A row for each method: AUROC and lift after every epoch, means over the seeds so far."""
    return {
        "means": [
            {"method": name, "seeds": len(own), **{key: _mean([run[key] for run in own]) for key in ("auroc", "lift")}}
            for name, own in _by_method(runs).items()
        ]
    }


def _mean(curves: Sequence[Sequence[float]]) -> list[float]:
    return [round(float(value), 4) for value in np.mean(curves, axis=0)]


def _by_method(runs: Rows) -> dict[str, Rows]:
    return {name: [run for run in runs if run["method"] == name] for name in dict.fromkeys(r["method"] for r in runs)}


def _print_summary(runs: Rows) -> None:
    print("\nmeans over seeds (lowest to highest) after the last epoch: AUROC; average precision / base rate;")
    print("share kept of the useful and of the useless if half is pruned; signal-to-noise of a visit between images;")
    print("average precision / base rate of who is told")
    for name, own in _by_method(runs).items():
        last = [[run[key][-1] for run in own] for key in ("auroc", "lift")]
        visits = [[run[key] for run in own] for key in (*KEPT, "signal_to_noise", "told_lift")]
        print("   ".join([*map(spread, [*last, *visits]), name]))


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
