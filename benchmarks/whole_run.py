"""Is weighting with pruning faster than no weighting? Whole runs against plain training and two fair rivals.

`python -m benchmarks.whole_run --data-root DIR` trains, for every target and seed, plain RotNet, BDW by the given
settings, RotNet that stops at BDW's time, and RotNet on a random subset of the size that BDW kept.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from bdw.config import RunConfig, presets
from bdw.training.trainer import iterate
from benchmarks.harness import final_scores, provenance, write_result
from benchmarks.methods import LEARNING
from sweeps.runner.methods import Method, chosen

ROTNET, STOPPED, SUBSET = "RotNet", "RotNet, stopped at BDW's time", "RotNet, random subset of the kept size"


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    data_root: str
    """Folder with what the preset needs."""
    preset: str = "mini_decathlon"
    """Settings of all runs."""
    targets: tuple[str, ...] = ("cifar10", "fashion-mnist", "gtsrb")
    seeds: tuple[int, ...] = (0,)
    epochs: int = 12
    max_source: int = 2500
    settings: str = "BDW eta=100 meta_every=2 tangent_views=1 shots=2 queries=2"
    """Settings of the weighted run, as sweeps name a method."""
    rivals: bool = True
    """Also train RotNet for BDW's time and on a random subset."""
    evaluations: int = 6
    """Number of evaluations in a run, whose best epoch is measured. They do not count in its seconds; with one
    evaluation the benchmark itself ends sooner."""
    train_per_class: int | None = None
    """Labelled target images per class; default: all."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


@dataclass(frozen=True)
class Run:
    """One run's cost and what it reached."""

    epochs: int
    max_source: int
    seconds: float
    """Seconds of training steps, without evaluation."""
    processor_seconds: float
    """Processor seconds of this process over all epochs, evaluation included; other work on the machine affects them
    less."""
    instances: int
    kept_fraction: float
    accuracy: float
    """On the target's test split, of the encoder that was best in validation."""
    curve: list[tuple[float, float, float]]
    """After every epoch: seconds so far, share kept, validation score (NaN where not measured)."""


def main(arguments: Arguments) -> None:
    """Print a line a run, then ratios to plain training over targets and seeds, and keep all of it if asked to."""
    torch.set_num_threads(1)
    (method,) = chosen([arguments.settings], LEARNING)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in arguments.seeds:
            for target in arguments.targets:
                base = _base(arguments, target, seed, folder)
                rows += _compared(base, method, arguments, {"target": target, "seed": seed})
    summary = _summary(rows)
    print(json.dumps(summary, indent=2))
    if arguments.save is not None:
        contents = {**provenance(arguments.seeds[0]), "arguments": vars(arguments), "summary": summary, "runs": rows}
        write_result(arguments.save, contents, data_root=arguments.data_root)


def _base(arguments: Arguments, target: str, seed: int, folder: str) -> RunConfig:
    return presets.build(arguments.preset).replace(
        data_root=arguments.data_root,
        cache_dir=f"{folder}/packed",
        target=target,
        seed=seed,
        epochs=arguments.epochs,
        lr_milestones=_milestones(arguments.epochs),
        max_source=arguments.max_source,
        max_train_per_class=arguments.train_per_class,
        evaluate_every=_interval(arguments.epochs, arguments.evaluations),
        checkpoint_every=arguments.epochs,
        report=False,
        run_dir=f"{folder}/runs",
    )


def _interval(epochs: int, evaluations: int) -> int:
    return max(1, epochs // evaluations)


def _milestones(epochs: int) -> list[int]:
    """After half and five sixths of the epochs, as in the preset."""
    return sorted({max(1, round(epochs / 2)), max(1, round(5 * epochs / 6))} - {epochs})


def _compared(base: RunConfig, method: Method, arguments: Arguments, labels: Mapping[str, Any]) -> list[dict[str, Any]]:
    uniform = base.replace(weighter="uniform")
    runs = {ROTNET: _run(uniform), method.name: _run(base.replace(**method.fields))}
    plain, weighted = runs.values()
    if arguments.rivals:
        fitting = max(1, round(base.budget.epochs * weighted.seconds / plain.seconds))
        every = _interval(fitting, arguments.evaluations)
        stopped = uniform.replace(epochs=fitting, lr_milestones=_milestones(fitting), evaluate_every=every)
        kept = max(base.optimiser.batch_size, round(weighted.kept_fraction * weighted.max_source))
        runs |= {STOPPED: _run(stopped), SUBSET: _run(uniform.replace(max_source=kept))}
    for name, run in runs.items():
        print(
            f"{labels['target']:14} seed {labels['seed']}  {name:64} {run.epochs:>3} epochs {run.seconds:7.1f} s  "
            f"kept {100 * run.kept_fraction:3.0f} %  accuracy {100 * run.accuracy:5.2f} %",
            flush=True,
        )
    return [{**labels, "method": name, **dataclasses.asdict(run)} for name, run in runs.items()]


def _run(config: RunConfig) -> Run:
    folder = tempfile.mkdtemp(dir=Path(config.output.run_dir).parent)
    began = time.process_time()
    reports = list(iterate(config.replace(run_dir=folder)))
    processor_seconds = time.process_time() - began
    seconds = 0.0
    curve = []
    for report in reports:
        seconds += report.seconds
        curve.append((round(seconds, 2), report.kept_fraction, report.validation_score))
    return Run(
        epochs=len(reports),
        max_source=config.data.max_source or 0,
        seconds=round(seconds, 2),
        processor_seconds=round(processor_seconds, 2),
        instances=reports[-1].instances_seen,
        kept_fraction=reports[-1].kept_fraction,
        accuracy=final_scores(folder)["accuracy"],
        curve=curve,
    )


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over targets and seeds: accuracy, and seconds as a share of plain training on the same target and seed."""
    plain = {(row["target"], row["seed"]): row for row in rows if row["method"] == ROTNET}
    summary = {}
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name]
        pairs = [(row, plain[row["target"], row["seed"]]) for row in own]
        summary[name] = {
            "accuracy": round(statistics.mean(row["accuracy"] for row in own), 4),
            "better than RotNet": sum(row["accuracy"] > other["accuracy"] for row, other in pairs),
            "seconds / RotNet's": _spread([row["seconds"] / other["seconds"] for row, other in pairs]),
            "processor seconds / RotNet's": _spread(
                [row["processor_seconds"] / other["processor_seconds"] for row, other in pairs]
            ),
            "instances / RotNet's": _spread([row["instances"] / other["instances"] for row, other in pairs]),
            "runs": len(own),
        }
    return summary


def _spread(ratios: list[float]) -> list[float]:
    """Median, lowest, highest."""
    return [round(value, 3) for value in (statistics.median(ratios), min(ratios), max(ratios))]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
