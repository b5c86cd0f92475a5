"""What do choices before training find on the rendered pool, what do they cost, and what do they gain?

`python -m benchmarks.selectors [--save NAME]` lets every selector choose shares of the rendered pool for several
targets and seeds, trains plainly on each choice with one budget of images, and prints test accuracy, the share of
letters in the choice (a tenth of the pool), and the cost of the choice. Selectors compare images by the encoder of a
plain run of one pass over the pool, which all choices from this pool share. `importance` is left out, since this pool
has no labels.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import tyro

from bdw.config import RunConfig, presets
from bdw.training.trainer import Trainer
from benchmarks.harness import final_scores, provenance, write_result

PLAIN, ORACLE, RECOMMENDED = "plain training", "oracle", "BDW, recommended"
FEATURES = "one pass, for features"
COLUMNS = ("accuracy", "letters", "training_seconds", "seconds", "shared_seconds")
"""Whose means are printed."""
SELECTORS: Mapping[str, Mapping[str, Any]] = {
    "random": {},
    "nearest-neighbour, pixels": {"selector.features": "pixels"},
    "nearest-neighbour": {},
    "simcore": {},
    "prototypes, easy": {"selector.keep": "easy"},
    "prototypes, hard": {"selector.keep": "hard"},
    "hierarchical": {},
    "neural-data-server": {},
}
"""Name, up to a comma the selector's -> options that differ from their defaults."""


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    scripts: tuple[str, ...] = ("greek", "armenian", "arabic", "tifinagh")
    """Targets."""
    seeds: tuple[int, ...] = (1,)
    """Of the runs, their pools and their choices."""
    shares: tuple[float, ...] = (0.2, 0.4)
    """Of the pool that are chosen."""
    selectors: tuple[str, ...] = tuple(SELECTORS)
    epochs: int = 4
    """The budget of every run as passes over the pool."""
    images: int = 8000
    """Of the pool."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


def main(arguments: Arguments) -> list[dict[str, Any]]:
    """Print a line a run, then the means by method; returns the rows."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in arguments.seeds:
            first = Path(folder) / f"first-{seed}"
            one_pass = {"weighter": "uniform", "epochs": 1}
            rows.append({**_run(arguments, first, arguments.scripts[0], seed, FEATURES, one_pass), "share": 1.0})
            print(rows[-1], flush=True)
            for script, (name, share, fields) in itertools.product(arguments.scripts, _methods(arguments, first)):
                place = Path(folder) / f"{script}-{seed}-{name}-{share}"
                rows.append({**_run(arguments, place, script, seed, name, fields), "share": share})
                print(rows[-1], flush=True)
    print(_means(rows).to_string())
    if arguments.save is not None:
        contents = {**provenance(arguments.seeds[0]), "arguments": vars(arguments), "runs": rows}
        write_result(arguments.save, contents)
    return rows


def _methods(arguments: Arguments, first: Path) -> list[tuple[str, float, dict[str, Any]]]:
    """Name, chosen share and fields of every method."""
    found: list[tuple[str, float, dict[str, Any]]] = [
        (PLAIN, 1.0, {"weighter": "uniform"}),
        (RECOMMENDED, 1.0, presets.weighting(presets.RECOMMENDED)),
        (ORACLE, 1.0, {"weighter": "oracle"}),
    ]
    for name, share in itertools.product(arguments.selectors, arguments.shares):
        selector = name.partition(",")[0]
        has_features = selector != "random"
        own = {"selector.features": f"run:{first}"} if has_features else {}
        fields = {"weighter": "uniform", "selector": selector, "selected_share": share, **own, **SELECTORS[name]}
        found.append((name, share, fields))
    return found


def _run(
    arguments: Arguments, place: Path, script: str, seed: int, name: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    base: RunConfig = presets.glyphs().replace(
        source=f"glyphs:images={arguments.images}", target=f"glyphs-{script}", epochs=arguments.epochs, seed=seed,
        data_seed=seed, run_dir=str(place), cache_dir=str(place.parent / "packed"), report=False, device="cpu",
    )  # fmt: skip
    trainer = Trainer(base.replace(**{**presets.paper_weighting(), **fields}))
    for _ in trainer.epochs():
        pass
    scores, last = final_scores(place), trainer.history[-1]
    planted, kept = trainer.problem.source.planted, trainer.mask.kept.numpy()
    assert planted is not None
    costs = {name.removeprefix("selection_"): value for name, value in scores.items() if name.startswith("selection_")}
    return {
        "method": name,
        "script": script,
        "seed": seed,
        "accuracy": round(scores["accuracy"], 4),
        "letters": round(float((planted[kept] == 1).mean()), 4),
        "kept": round(float(kept.mean()), 4),
        "training_seconds": round(last.wall_seconds, 2),
        "instances_seen": last.instances_seen,
        **{name: round(value, 3) for name, value in costs.items()},
    }


def _means(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Over targets and seeds, by method and share."""
    table = pd.DataFrame(rows)
    return table.groupby(["method", "share"], sort=False)[[name for name in COLUMNS if name in table]].mean()


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
