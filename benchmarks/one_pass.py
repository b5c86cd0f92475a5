"""Does drawing by prediction pay where a pool is gone through once? A large rendered pool, mostly rubbish.

`python -m benchmarks.one_pass --folder DIR [--save NAME]` trains on 100,000 rendered images of which 15 % are letters,
with a budget of one pass: plain training, the recommended recipe that draws its images by predicted usefulness
(docs/large-pools.md), the same for no more seconds of the processor than plain training takes, the same with corrected
losses, the nearest neighbours of the target in pixels (told how many letters there are), and an oracle. Seconds include
looking at images that are not trained on. Rows are kept in the folder as they come, and a run that was cut off goes on
from them.
Settings are chosen with seed 0 on the scripts phonetic and lisu, which no table shows.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from analysis import equal_budget_tables, time_to_score
from bdw.config import RunConfig, presets
from bdw.errors import unknown_option
from benchmarks import planted_runs
from benchmarks.harness import final_scores, provenance, write_result
from benchmarks.working_file import Row, WorkingFile

PLAIN, DRAWN, IN_TIME, CORRECTED, NEAREST, ORACLE = (
    "plain training", "drawn by prediction", "drawn, plain's seconds", "drawn, corrected", "nearest neighbours",
    "oracle",
)  # fmt: skip
METHODS = (PLAIN, DRAWN, IN_TIME, CORRECTED, NEAREST, ORACLE)
"""In the order of their runs: the third needs the seconds of the first two."""
KEY = ("domain", "seed", "method")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command line of this benchmark."""

    folder: Path
    """Working folder: the pools and rows.json."""
    scripts: tuple[str, ...] = ("greek", "armenian", "hebrew")
    """Targets."""
    seeds: tuple[int, ...] = (1, 2, 3)
    methods: tuple[str, ...] = METHODS
    images: int = 100_000
    """Of the pool, and of the budget."""
    letters: float = 0.15
    """Share of the pool that is useful."""
    learning_rate: float = 0.2
    draw_every: int = 5_000
    draw_floor: float = 0.1
    draw_scored: float = 5.0
    learn_share: float = 0.25
    """Share of the budget in which weights are learnt and images are looked at."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


def main(arguments: Arguments) -> list[Row]:
    """Print a line a run, then the tables, and keep all of it if asked to; returns the rows."""
    for name in arguments.methods:
        if name not in METHODS:
            raise unknown_option("methods", name, METHODS)
    torch.set_num_threads(1)
    free = ("folder", "scripts", "seeds", "methods", "save")
    settings = {name: value for name, value in vars(arguments).items() if name not in free}
    file = WorkingFile(arguments.folder / "rows.json", settings, KEY)
    rows: list[Row] = []
    for seed in arguments.seeds:
        for script in arguments.scripts:
            for method in arguments.methods:
                key = {"domain": f"glyphs-{script}", "seed": seed, "method": method}
                row = file.find(**key) or _run(arguments, file, key)
                if row is not None:
                    rows.append(row)
                    print(_line(row), flush=True)
    print(f"\n{tables(rows)}")
    if arguments.save is not None:
        contents = {**provenance(arguments.seeds[0]), "settings": settings, "runs": rows}
        write_result(arguments.save, contents)
    return rows


def config_of(arguments: Arguments, seed: int, target: str) -> RunConfig:
    """Plain training with the budget that all methods have."""
    return presets.glyphs().replace(
        **{**presets.paper_weighting(), "weighter": "uniform"},
        source=f"glyphs:images={arguments.images},letters={arguments.letters}",
        target=target,
        epochs=1,
        learning_rate=arguments.learning_rate,
        evaluate_every=0.25,
        seed=seed,
        data_seed=seed,
        run_dir=str(arguments.folder / "run"),
        cache_dir=str(arguments.folder / "packed"),
        report=False,
        device="cpu",
    )


def fields_of(arguments: Arguments, method: str, images: int) -> dict[str, Any]:
    """How a method differs from plain training; `images` is its budget."""
    drawn = {
        **presets.weighting(presets.RECOMMENDED),
        "prune": False,
        "draw_every": arguments.draw_every,
        "draw_floor": arguments.draw_floor,
        "draw_scored": arguments.draw_scored,
        "learn_share": arguments.learn_share,
        "budget_images": images,
    }
    return {
        PLAIN: {},
        DRAWN: drawn,
        IN_TIME: drawn,
        CORRECTED: {**drawn, "draw_corrected": True},
        NEAREST: {
            "selector": "nearest-neighbour", "selector.features": "pixels", "selected_share": arguments.letters
        },
        ORACLE: {"weighter": "oracle"},
    }[method]  # fmt: skip


def tables(rows: list[Row]) -> str:
    """Gains over plain training, with intervals over targets, and how much sooner its final accuracy is reached."""
    results, curves = planted_runs.results(rows), planted_runs.curves(rows)
    present = set(results["method"])
    if PLAIN not in present or len(present) < 2:
        return "no plain training to compare with"
    found = equal_budget_tables(
        results,
        baseline=PLAIN,
        higher_is_better=True,
        percent=True,
        oracles=[ORACLE] if ORACLE in present else [],
        times=time_to_score(curves, baseline=PLAIN, higher_is_better=True),
    )
    return f"{found.methods.to_markdown()}\n{found.domains.to_markdown()}"


def _run(arguments: Arguments, file: WorkingFile, key: dict[str, Any]) -> Row | None:
    """One row; None where the budget is not known, since the runs that say it were not asked for."""
    method, images = key["method"], arguments.images
    if method == IN_TIME:
        plain, drawn = (file.find(**{**key, "method": name}) for name in (PLAIN, DRAWN))
        if plain is None or drawn is None:
            return None
        images = max(
            arguments.draw_every, round(images * min(1.0, plain["processor_seconds"] / drawn["processor_seconds"]))
        )
    config = config_of(arguments, key["seed"], key["domain"]).replace(**fields_of(arguments, method, images))
    shutil.rmtree(config.output.run_dir, ignore_errors=True)
    row = planted_runs.measured(config, useful="letters")
    if method == NEAREST:
        scores = final_scores(config.output.run_dir)
        row["seconds_before"] = round(scores["selection_seconds"] + scores["selection_shared_seconds"], 3)
    return file.add({**key, **row})


def _line(row: Row) -> str:
    drawn = row.get("useful_drawn")
    return (
        f"{row['domain']:16} seed {row['seed']}  {row['method']:22} accuracy {100 * row['value']:5.1f} %  "
        f"{row['wall_seconds']:6.1f} s + {row.get('seconds_before', 0):5.1f} s "
        f"({row['processor_seconds']:.1f} s of the processor)  {row['instances_seen']:>7} images"
        + ("" if drawn is None else f"  letters among those drawn at the end {drawn:.2f}")
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
