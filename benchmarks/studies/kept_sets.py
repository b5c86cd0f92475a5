"""What does the learnt usefulness buy? Training on the images of the highest mean weight against a random choice.

`python -m benchmarks.studies.kept_sets --data-root DIR --save NAME` takes every target domain of the mini-decathlon in
turn. A run by the method, which prunes nothing, gives each source image its mean weight. Plain trainings from the same
start are then compared by the paper's measure, the target's test accuracy: on the share of images with the highest mean
weights, on as many random images, on the whole source for as many instances, and, where it is known which images are
useful, on as many of those. The domains are the independent observations: seeds are averaged, and Wilcoxon's test is
over domains. It says whether weights are worth anything, not whether weighting is worth its time (`whole_run` does).
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray

from analysis.statistics.effect_size import effect_sizes
from analysis.statistics.signed_rank import signed_rank
from bdw.config import RunConfig
from bdw.data import load
from bdw.errors import InputError
from benchmarks.methods import LEARNING
from benchmarks.studies.cells import CellArguments, Rows, work_through
from benchmarks.studies.subsets import mean_weights, trained_on
from benchmarks.studies.usefulness import RANKED
from sweeps.runner.datasets import base_config
from sweeps.runner.decathlons import MINI
from sweeps.runner.methods import chosen

KEPT, RANDOM, WHOLE, ORACLE, WEIGHTED = "kept", "random", "whole", "oracle", "weighted"
"""What a run was trained on; `weighted` is the run that gave the weights."""


@dataclass(frozen=True, kw_only=True)
class Arguments(CellArguments):
    """Command line of this benchmark."""

    targets: tuple[str, ...] = MINI.targets
    """Targets of the mini-decathlon. Default: all ten."""
    method: str = RANKED
    """Method whose mean weights choose, as sweeps name it: BDW or Counts and fields of the config."""
    kept: float = 0.3
    """Share of the source to keep."""
    epochs: int = 10
    """Of every run but that on the whole source, which makes do with the kept share of them, rounded: its instances are
    as many where that is a whole number."""
    source: str = "imagenet-mini"
    """For a mixture that holds the target it is known what is useful, and an oracle is trained as well."""
    max_source: int = 3000
    """Images of the source."""
    target_fraction: float | None = None
    """Share of the target's training images that are its own: below 1 for a source that holds the target. Default: as
    the mini-decathlon has it."""
    image_size: int = 32
    """Side in pixels."""
    encoder: str = "small_cnn"


def main(arguments: Arguments) -> None:
    """Print a line a run, then means by target and what they say together, and keep all of it if asked to."""
    chosen([arguments.method], LEARNING)
    if not 0 < arguments.kept < 1:
        raise InputError(f"kept: {arguments.kept!r} cannot work; allowed: between 0 and 1")
    _print_summary(summary(work_through(arguments, measured, summary)))


def measured(arguments: Arguments, target: str, seed: int, folder: str) -> Rows:
    """All runs of one target and seed."""
    (method,) = chosen([arguments.method], LEARNING)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        base = _config(arguments, target, seed, arguments.epochs).replace(cache_dir=f"{folder}/packed")
        problem = load(base.data, Path(own))
        weights, weighted = mean_weights(base.replace(**method.fields), problem, own)
        found = {WEIGHTED: weighted}
        for name, rows in chosen_rows(weights, problem.source.planted, arguments.kept, seed).items():
            found[name] = trained_on(rows, base, problem, own)
        fewer = max(1, round(arguments.kept * arguments.epochs))
        short = _config(arguments, target, seed, fewer).replace(cache_dir=f"{folder}/packed")
        found[WHOLE] = trained_on(np.arange(len(weights)), short, problem, own)
    runs = [{"target": target, "seed": seed, "trained_on": name, **run} for name, run in found.items()]
    for run in runs:
        print(
            f"{target:14} seed {seed}  {run['trained_on']:9} {run['images']:>6} images  {run['instances']:>7} instances"
            f" {run['seconds']:7.1f} s  accuracy {100 * run['accuracy']:5.2f} %",
            flush=True,
        )
    return runs


def _config(arguments: Arguments, target: str, seed: int, epochs: int) -> RunConfig:
    """As the mini-decathlon sets it up for this target, at the size that is asked for."""
    config = base_config(MINI, data_root=arguments.data_root, download=False, target=target, epochs=epochs)
    fraction = {} if arguments.target_fraction is None else {"target_fraction": arguments.target_fraction}
    return config.replace(
        **{**MINI.domain_fields.get(target, {}), **fraction},
        source=arguments.source,
        max_source=arguments.max_source,
        image_size=arguments.image_size,
        crop_size=arguments.image_size,
        crop_padding=arguments.image_size // 8,
        encoder=arguments.encoder,
        seed=seed,
        # Three times, so that a run of fewer epochs chooses its best one among as many.
        evaluate_every=math.ceil(epochs / 3),
        checkpoint_every=epochs,
        report=False,
        device="cpu",
    )


def chosen_rows(
    weights: NDArray[np.float64], planted: NDArray[np.int8] | None, share: float, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Indices of as many images by each way to choose them.

    Ties fall as the random choice does, so that weights that say nothing choose the random images.
    """
    size = round(share * len(weights))
    order = np.random.default_rng([seed, len(weights)]).permutation(len(weights))
    found = {KEPT: order[np.argsort(-weights[order], kind="stable")][:size], RANDOM: order[:size]}
    if planted is not None:
        # If there are fewer useful images than places, others fill them.
        found[ORACLE] = order[np.argsort(planted[order] != 1, kind="stable")][:size]
    return {name: np.sort(rows) for name, rows in found.items()}


def summary(runs: Rows) -> dict[str, Any]:
    """Mean accuracies over seeds by target, and the comparisons over targets that these allow."""
    table = pd.DataFrame(runs).pivot_table(index="target", columns="trained_on", values="accuracy", sort=False)
    pairs = [(KEPT, RANDOM), (KEPT, WHOLE), (ORACLE, RANDOM)]
    known = set(table.dropna(axis=1))  # A mixture has an oracle for its own members alone.
    return {
        "accuracy": {str(target): row.round(5).to_dict() for target, row in table.iterrows()},
        "comparisons": [_compared(table, *pair) for pair in pairs if len(table) > 1 and set(pair) <= known],
    }


def _compared(table: pd.DataFrame, first: str, second: str) -> dict[str, Any]:
    """Over targets; effect sizes with their intervals (95 %, bootstrap over targets), in favour of the first."""
    (row,) = effect_sizes(table[[first, second]], higher_is_better=True).to_dict("records")
    sign, lower, upper = (1, "low", "high") if row["first"] == first else (-1, "high", "low")

    def effect(name: str) -> list[float]:
        return [round(sign * row[key], 5) for key in (name, f"{name}_{lower}", f"{name}_{upper}")]

    wins, losses = (row["wins"], row["losses"])[::sign]
    return {
        "first": first,
        "second": second,
        "targets": len(table),
        "better_on": wins,
        "worse_on": losses,
        "mean_difference": effect("mean_difference"),
        "rank_biserial": effect("rank_biserial"),
        "wilcoxon_p_value": round(signed_rank(table[first], table[second]).p_value, 5),
    }


def _print_summary(found: dict[str, Any]) -> None:
    print("\ntest accuracy (%), means over seeds")
    table = 100 * pd.DataFrame.from_dict(found["accuracy"], orient="index")
    table["kept - random"] = table[KEPT] - table[RANDOM]
    print(table.to_string(float_format="{:.2f}".format))
    for each in found["comparisons"]:
        points, p_value = [f"{100 * value:+.2f}" for value in each["mean_difference"]], each["wilcoxon_p_value"]
        ranks = [f"{value:+.2f}" for value in each["rank_biserial"]]
        print(
            f"{each['first']} against {each['second']}: better on {each['better_on']} of {each['targets']} targets, "
            f"worse on {each['worse_on']}; mean difference {points[0]} points ({points[1]} to {points[2]}); "
            f"rank-biserial correlation {ranks[0]} ({ranks[1]} to {ranks[2]}); Wilcoxon p = {p_value:.4f}"
        )


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
