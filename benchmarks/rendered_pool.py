"""Does it pay at an equal budget? All methods of the main job on the rendered pool, ten targets, several seeds.

`python -m benchmarks.rendered_pool --save rendered-pool-cpu` trains plain training, a random subset of the kept size,
nearest neighbours, the paper's best cell, the recommended recipe and an oracle, each in a process of its own, one
thread each. Settings were chosen on other scripts (`--scripts phonetic lao lisu nko`) and seed 0 of those. `--pretext`
asks the same of another pretext task.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
import tyro

from analysis import compare, equal_budget_tables, time_to_score
from bdw.config import presets
from bdw.data.readers.glyphs import REPORTED
from bdw.errors import unknown_option
from benchmarks import planted_runs
from benchmarks.harness import provenance, spread, write_result

PLAIN, RANDOM, RECOMMENDED, ORACLE = "plain training", "random subset", "BDW, recommended", "oracle"
METHODS: dict[str, dict[str, Any]] = {
    PLAIN: {"weighter": "uniform"},
    "nearest neighbours": {"weighter": "nearest-neighbour"},
    "BDW, paper's cell": {"weight_lr": 10.0, "density_threshold": 0.5, "cdf_threshold": 0.25},
    RECOMMENDED: presets.weighting(presets.RECOMMENDED),
    ORACLE: {"weighter": "oracle"},
}
"""How the weighting of each method differs from the paper's. A random subset follows the recommended recipe's run."""
TASKS: dict[str, dict[str, Any]] = {
    "rotation": {},
    "simclr": {"pretext": "simclr"},
    "barlow_twins": {"pretext": "barlow_twins", "pretext.projection_dim": 256, "pretext.hidden_dim": 256},
    "context_encoder": {"pretext": "context_encoder"},
}
"""Fields of the pretext tasks: heads of Barlow Twins that suit an encoder of 64 features."""


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    scripts: tuple[str, ...] = REPORTED
    """Targets."""
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    methods: tuple[str, ...] = (*METHODS, RANDOM)
    pretext: str = "rotation"
    """Pretext task, one of `TASKS`."""
    learning_rate: float = 0.2
    """Chosen for each task by what plain training learns on the scripts that are kept for choosing."""
    epochs: int = 4
    """The budget as passes over the pool."""
    processes: int = 2
    """Side by side."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


def main(arguments: Arguments) -> None:
    """Print a line a run, then the tables, and keep all of it if asked to."""
    if arguments.pretext not in TASKS:
        raise unknown_option("pretext", arguments.pretext, TASKS)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(arguments.processes) as pool:
        jobs = itertools.product(arguments.seeds, arguments.scripts)
        for found in pool.map(_runs, ((arguments, folder, seed, script) for seed, script in jobs)):
            for row in found:
                rows.append(row)
                print(_line(row), flush=True)
    _say(planted_runs.results(rows), planted_runs.curves(rows))
    if arguments.save is not None:
        contents = {**provenance(arguments.seeds[0]), "arguments": vars(arguments), "runs": rows}
        write_result(arguments.save, contents)


def _runs(job: tuple[Arguments, str, int, str]) -> list[dict[str, Any]]:
    """All methods on one target with one seed; the random subset comes last, since it has the size of the recommended
    recipe's kept set."""
    arguments, folder, seed, script = job
    torch.set_num_threads(1)
    rows = [_run(arguments, folder, seed, script, name) for name in METHODS if name in arguments.methods]
    kept = next((row["kept_fraction"] for row in rows if row["method"] == RECOMMENDED), None)
    if RANDOM in arguments.methods and kept is not None:
        fields = {"weighter": "random", "kept_share": round(kept, 4)}
        rows.append(_run(arguments, folder, seed, script, RANDOM, fields))
    return rows


def _run(
    arguments: Arguments, folder: str, seed: int, script: str, name: str, fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    config = presets.glyphs().replace(
        **{**presets.paper_weighting(), **(METHODS[name] if fields is None else fields)},
        **TASKS[arguments.pretext],
        learning_rate=arguments.learning_rate,
        target=f"glyphs-{script}",
        epochs=arguments.epochs,
        seed=seed,
        data_seed=seed,
        run_dir=tempfile.mkdtemp(dir=folder),
        cache_dir=f"{folder}/packed",
        report=False,
        device="cpu",
    )
    row = planted_runs.measured(config, useful="letters")
    return {"method": name, **row}


def _line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['domain']:18} seed {row['seed']}  {row['method']:20} accuracy {100 * row['value']:5.1f} %  "
        f"{row['wall_seconds']:6.1f} s  kept {100 * row['kept_fraction']:5.1f} %  "
        f"letters kept {row['letters_kept']:.2f}  rubbish kept {row['rubbish_kept']:.3f}  "
        f"AUROC in the middle {row['auroc_in_the_middle']:.3f}"
    )


def _say(results: pd.DataFrame, curves: pd.DataFrame) -> None:
    present = set(results["method"])
    if PLAIN in present and len(present) > 1:
        times = time_to_score(curves, baseline=PLAIN, higher_is_better=True)
        tables = equal_budget_tables(
            results, baseline=PLAIN, higher_is_better=True, percent=True, oracles=[ORACLE], times=times
        )
        print(f"\n{tables.methods.to_markdown()}\n{tables.domains.to_markdown()}")
    if len(present) > 1 and results["domain"].nunique() > 1:
        print(compare(results, higher_is_better=True))
    own = results[results["method"] == RECOMMENDED]
    if not own.empty:
        for name in ("auroc_in_the_middle", "letters_kept", "rubbish_kept"):
            print(f"{RECOMMENDED}, {name}: {spread(own[name].tolist())}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
