"""What each pretext task teaches a small encoder on real pictures: plain training, then the target's linear accuracy.

`python -m benchmarks.studies.pretext_accuracy --data-root DIR --save NAME` trains the same encoder on Tiny ImageNet by
every task for as many images, and measures it on CIFAR-10 by the paper's measure. A random encoder stands beside them:
its batch norm has seen one batch, and nothing has been learnt. Heads and teachers are sized for a small encoder and few
steps (`SMALL`); everything else is the task's default. The settings were written down before any accuracy was seen.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import tyro

from bdw.config import RunConfig
from bdw.config.presets import build
from bdw.data import load
from bdw.errors import unknown_option
from bdw.pretext import available
from bdw.training.trainer import iterate
from benchmarks.harness import final_scores
from benchmarks.studies.cells import CellArguments, Rows, work_through

RANDOM = "random"
"""The encoder as it starts."""
LEFT_OUT = ("multitask", "vae", "mae")
"""Tasks that say themselves what is trained, or that want another encoder: an MLP, a vision transformer."""
SMALL_TEACHER = {"pretext.teacher_momentum": 0.99}
"""The papers' teachers move over many more steps than these runs have."""
SMALL: dict[str, dict[str, Any]] = {
    "barlow_twins": {"pretext.projection_dim": 512, "pretext.hidden_dim": 512},
    "vicreg": {"pretext.projection_dim": 512, "pretext.hidden_dim": 512},
    "byol": {"pretext.projection_dim": 128, "pretext.hidden_dim": 512, **SMALL_TEACHER},
    "simsiam": {"pretext.projection_dim": 512, "pretext.hidden_dim": 128},
    "moco_v1": SMALL_TEACHER,
    "moco_v2": SMALL_TEACHER,
    "swav": {"pretext.prototypes": 300, "pretext.hidden_dim": 512, "pretext.local_crops": 2},
    "dino": {
        "pretext.prototypes": 1024,
        "pretext.hidden_dim": 512,
        "pretext.projection_dim": 128,
        "pretext.local_crops": 2,
        **SMALL_TEACHER,
    },
}


@dataclass(frozen=True, kw_only=True)
class Arguments(CellArguments):
    """Command line of this benchmark."""

    seeds: tuple[int, ...] = (0, 1)
    methods: tuple[str, ...] = (RANDOM, *(name for name in available() if name not in LEFT_OUT))
    """Pretext tasks, and `random`."""
    target: str = "cifar10"
    max_source: int | None = None
    """Images of the pool. Default: all 36,000."""
    images: int = 108_000
    """Images that pass through training steps in a run."""
    encoder: str = "small_resnet"
    batch_size: int = 128
    learning_rate: float = 1e-3
    """Of AdamW, with a warm-up over a twentieth of the budget and a cosine after it; the same for every task."""


def main(arguments: Arguments) -> None:
    """Print a line a run, then the means over seeds by task, and keep all of it if asked to."""
    known = (RANDOM, *available())
    for name in arguments.methods:
        if name not in known:
            raise unknown_option("methods", name, known)
    _print_summary(summary(work_through(arguments, measured, summary, by="methods")))


def config_of(arguments: Arguments, method: str, seed: int) -> RunConfig:
    """The run of that task, or one step that changes nothing for `random`."""
    learns = method != RANDOM
    return build("tiny_imagenet").replace(
        data_root=arguments.data_root,
        target=arguments.target,
        max_source=arguments.max_source,
        encoder=arguments.encoder,
        weighter="uniform",
        **{"pretext": method, **SMALL.get(method, {})} if learns else {},
        optimiser="adamw",
        learning_rate=arguments.learning_rate if learns else 1e-12,
        weight_decay=1e-4,
        batch_size=arguments.batch_size,
        budget_unit="images",
        budget_images=arguments.images if learns else arguments.batch_size,
        schedule="cosine",
        warm_up=0.05,
        lr_milestones=[],
        # Only what is left at the end counts: no epoch is chosen by its validation accuracy.
        evaluate_every=10_000,
        seed=seed,
        report=False,
        device="cpu",
    )


def measured(arguments: Arguments, method: str, seed: int, folder: str) -> Rows:
    """One run: its accuracy, its seconds of training and whether its features have collapsed."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        config = config_of(arguments, method, seed).replace(cache_dir=f"{folder}/packed", run_dir=f"{own}/run")
        config = config.replace(final_measures=["rankme"])
        reports = list(iterate(config, problem=load(config.data, Path(own))))
        scores = final_scores(config.output.run_dir)
    row = {
        "method": method,
        "seed": seed,
        "instances": reports[-1].instances_seen,
        "seconds": round(sum(report.seconds for report in reports), 1),
        **{name: round(scores[name], 5) for name in (config.evaluation.measure, "rankme")},
    }
    print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return [row]


def summary(runs: Rows) -> dict[str, Any]:
    """Means over seeds by task, the best accuracy first."""
    table = pd.DataFrame(runs).groupby("method").mean(numeric_only=True).drop(columns="seed")
    ordered = table.sort_values("accuracy", ascending=False)
    return {"means": {str(name): row.round(5).to_dict() for name, row in ordered.iterrows()}}


def _print_summary(found: dict[str, Any]) -> None:
    print("\nmeans over seeds")
    print(pd.DataFrame.from_dict(found["means"], orient="index").to_string())


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
