"""Does weighting pay on real photographs, and from which share of rubbish on?

`python -m benchmarks.rubbish_shares --data-root DIR --folder DIR [--save NAME]` mixes photographs with 85, 0, 50 and
95 % of rubbish (`rubbish_pool`) and trains, for several targets and seeds, with as many images each: plain training,
the recommended recipe, a random subset and the nearest neighbours in embeddings (both of the size that the recipe
kept), and an oracle that trains on all photographs and nothing else. Embeddings come from a plain run of one pass over
the pool, whose seconds count. Rows are kept in the folder as they come, and a run that was cut off goes on from them.
Settings are chosen with seed 0, which no table shows.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import tyro

from analysis import equal_budget_tables, time_to_score
from bdw.config import RunConfig, presets
from bdw.errors import InputError, unknown_option
from benchmarks import planted_runs
from benchmarks.harness import final_scores, provenance, write_result
from benchmarks.rubbish_pool import rubbish_pool
from benchmarks.working_file import Row, WorkingFile

PLAIN, RECOMMENDED, RANDOM, NEAREST, ORACLE = (
    "plain training", "BDW, recommended", "random subset", "nearest neighbours", "oracle",
)  # fmt: skip
METHODS = (PLAIN, RECOMMENDED, RANDOM, NEAREST, ORACLE)
"""In the order of their runs: the third and fourth keep as many images as the second did."""
KEY = ("rubbish", "domain", "seed", "method")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command line of this benchmark."""

    data_root: str
    """Folder with the data sets as .npz files."""
    folder: Path
    """Working folder: pools, encoders for embeddings, rows.json."""
    shares: tuple[float, ...] = (0.85, 0.0, 0.5, 0.95)
    """Of rubbish."""
    targets: tuple[str, ...] = ("cifar10", "dtd", "vgg-flowers")
    seeds: tuple[int, ...] = (1, 2, 3)
    methods: tuple[str, ...] = METHODS
    photographs: str = "imagenet-mini"
    """Source of the photographs."""
    images: int = 12_000
    """Of the pool."""
    passes: int = 4
    """The budget of every run as passes over the pool."""
    pretext: str = "rotation"
    encoder: str = "small_resnet"
    batch_size: int = 64
    learning_rate: float = 0.1
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


def main(arguments: Arguments) -> list[Row]:
    """Print a line a run and a table a share, and keep all of it if asked to; returns the rows."""
    for name in arguments.methods:
        if name not in METHODS:
            raise unknown_option("methods", name, METHODS)
    if arguments.passes < 1:
        raise InputError(f"passes: {arguments.passes!r} cannot work; allowed: at least 1")
    torch.set_num_threads(1)
    free = ("data_root", "folder", "shares", "targets", "seeds", "methods", "save")
    settings = {name: value for name, value in vars(arguments).items() if name not in free}
    file = WorkingFile(arguments.folder / "rows.json", settings, KEY)
    rows: list[Row] = []
    for share, seed, target in cells(arguments):
        for method in arguments.methods:
            key = {"rubbish": share, "domain": target, "seed": seed, "method": method}
            row = file.find(**key) or _run(arguments, file, key)
            if row is not None:
                rows.append(row)
                print(_line(row), flush=True)
    for share in dict.fromkeys(row["rubbish"] for row in rows):
        print(f"\n{100 * share:g} % of rubbish\n{tables([row for row in rows if row['rubbish'] == share])}", flush=True)
    if arguments.save is not None:
        contents = {**provenance(arguments.seeds[0]), "settings": settings, "runs": rows}
        write_result(arguments.save, contents, data_root=arguments.data_root)
    return rows


def cells(arguments: Arguments) -> Iterator[tuple[float, int, str]]:
    """Share of rubbish, seed and target, one share after another."""
    for share in arguments.shares:
        for seed in arguments.seeds:
            for target in arguments.targets:
                yield share, seed, target


def config_of(arguments: Arguments, share: float, seed: int, target: str, run_dir: Path) -> RunConfig:
    """Plain training with the budget that all methods have; the pool must be packed."""
    return presets.tiny_imagenet().replace(
        source=f"packed:{_pool_path(arguments, share, seed)}",
        target=target,
        data_root=arguments.data_root,
        cache_dir=str(arguments.folder / "packed"),
        **{**presets.paper_weighting(), "weighter": "uniform"},
        pretext=arguments.pretext,
        encoder=arguments.encoder,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        epochs=arguments.passes,
        budget_unit="images",
        schedule="cosine",
        lr_milestones=[],
        seed=seed,
        data_seed=seed,
        run_dir=str(run_dir),
        report=False,
        device="cpu",
    )


def tables(rows: list[Row]) -> str:
    """Of one share of rubbish: gains over plain training, with intervals over targets x seeds, and means by target."""
    results, curves = planted_runs.results(rows), planted_runs.curves(rows)
    options: dict[str, Any] = {"baseline": PLAIN, "higher_is_better": True, "percent": True}
    present = set(results["method"])
    if PLAIN not in present or len(present) < 2:
        return "no plain training to compare with"
    oracles = [ORACLE] if ORACLE in present else []
    by_pair = equal_budget_tables(
        _each_alone(results),
        oracles=oracles,
        times=time_to_score(_each_alone(curves), baseline=PLAIN, higher_is_better=True),
        **options,
    )
    by_target = equal_budget_tables(results, oracles=oracles, **options)
    gains = pd.DataFrame({name: 100 * gain.by_domain for name, gain in by_target.gains.items()})
    return "\n".join(
        (
            "over targets x seeds, each pair of them a domain:",
            by_pair.methods.to_markdown(),
            by_target.domains.to_markdown(),
            f"gain over {PLAIN} by target, points:",
            gains.to_string(float_format="{:+.1f}".format),
        )
    )


def _each_alone(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every pair of target and seed as a domain, which intervals are then over."""
    return table.assign(domain=table["domain"] + ", seed " + table["seed"].astype(str))


def _run(arguments: Arguments, file: WorkingFile, key: dict[str, Any]) -> Row | None:
    """One row, or None where there is nothing to run: an oracle without rubbish, a subset of unknown size."""
    share, seed, target, method = key["rubbish"], key["seed"], key["domain"], key["method"]
    recipe = file.find(**{**key, "method": RECOMMENDED})
    if (method in (RANDOM, NEAREST) and recipe is None) or (method == ORACLE and share == 0):
        return None
    rubbish_pool(
        _pool_path(arguments, share, seed),
        photographs=arguments.photographs,
        data_root=arguments.data_root,
        images=arguments.images,
        rubbish=share,
        size=presets.tiny_imagenet().data.image_size,
        seed=seed,
    )
    kept = 1.0 if recipe is None else recipe["kept_fraction"]
    fields: dict[str, Any] = {
        PLAIN: {},
        RECOMMENDED: presets.weighting(presets.RECOMMENDED),
        RANDOM: {"weighter": "random", "kept_share": kept},
        NEAREST: {"selector": "nearest-neighbour", "selected_share": kept},
        ORACLE: {"weighter": "oracle"},
    }[method]
    before: dict[str, float] = {}
    if method == NEAREST:
        features, seconds = _features(arguments, share, seed)
        fields |= {"selector.features": f"run:{features}"}
        before = {"features_seconds": seconds}
    run_dir = _emptied(arguments.folder / "run")
    row = planted_runs.measured(
        config_of(arguments, share, seed, target, run_dir).replace(**fields), useful="photographs"
    )
    if method == NEAREST:
        scores = final_scores(run_dir)
        before["selection_seconds"] = scores["selection_seconds"] + scores["selection_shared_seconds"]
        row["seconds_before"] = round(sum(before.values()), 3)
    return file.add({**key, **row, **{name: round(value, 3) for name, value in before.items()}})


def _features(arguments: Arguments, share: float, seed: int) -> tuple[Path, float]:
    """A plain run of one pass over the pool, for whichever target is the first, and its seconds; made once."""
    path = arguments.folder / f"features-{100 * share:g}-{seed}"
    record = WorkingFile(path / "seconds.json", {}, ("seed",))
    found = record.find(seed=seed)
    if found is None:
        config = config_of(arguments, share, seed, arguments.targets[0], _emptied(path / "run"))
        # Nobody looks at its accuracy, but one evaluation at its end cannot be switched off.
        row = planted_runs.measured(config.replace(epochs=1, evaluate_every=arguments.passes))
        found = record.add({"seed": seed, "seconds": row["wall_seconds"]})
    return path / "run", float(found["seconds"])


def _pool_path(arguments: Arguments, share: float, seed: int) -> Path:
    return arguments.folder / f"pool-{100 * share:g}-{seed}"


def _emptied(path: Path) -> Path:
    """The path without what an earlier run left there, which was cut off or is in the rows."""
    shutil.rmtree(path, ignore_errors=True)
    return path


def _line(row: Row) -> str:
    photographs, rubbish = (
        "  - " if row[name] is None else f"{row[name]:.2f}" for name in ("photographs_kept", "rubbish_kept")
    )
    return (
        f"{100 * row['rubbish']:3g} %  {row['domain']:12} seed {row['seed']}  {row['method']:20} "
        f"accuracy {100 * row['value']:5.1f} %  {row['wall_seconds']:6.1f} s + {row.get('seconds_before', 0):5.1f} s  "
        f"kept: photographs {photographs}, rubbish {rubbish}"
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
