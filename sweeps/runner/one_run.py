"""One run that values the pool for all targets, and plain training on what it keeps for each of them.

The first stage is a run of plain training for every seed that learns on the way how useful each image is for every
target (`value_for`). The second waits for it: the paper's rule says, from each target's table, what is kept, and a run
of plain training for every target sees that alone. All of it costs what one run a target does: the images of the
valuation, divided by the number of targets, are taken off the budget of every run of the second stage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bdw.config import RunConfig
from bdw.config.budget import Budget
from bdw.data.weights_file import CONTENT_KEY
from bdw.errors import InputError
from bdw.report.wording import plural
from bdw.runs.directory import RunDirectory
from bdw.runs.export import write_weights_file
from bdw.weighting.keep_mask import KeepMask, min_kept
from bdw.weighting.weighters.beta import is_useless, share_below
from sweeps.runner.comparison import Cell, cells, comparison_rows
from sweeps.runner.episode_designs import Room
from sweeps.runner.methods import Method
from sweeps.runner.paths import Paths

VALUATION = "valuation for all targets"
"""The first stage's name among a sweep's trials; it is not compared."""


class Usefulness(NamedTuple):
    """One target's table, as a run left it."""

    names: NDArray[np.str_]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    mean: NDArray[np.float64]
    content_key: str
    """Of the source."""


def valuation_cells(
    recipe: Method, base: RunConfig, rooms: Mapping[str, Room], seeds: Sequence[int], paths: Paths
) -> list[Cell]:
    """For every seed a run of plain training over the base's whole budget that values the source for all domains, as
    the recipe weights; it is measured on the first domain.

    Raises `InputError` where the domains do not share one source.
    """
    sources = {room.contents.partition(", target ")[0] for room in rooms.values()}
    if len(sources) > 1:
        raise InputError(
            f"one_run: the targets {list(rooms)} do not share one pool (a target's own images leave it by their "
            "names); allowed: targets none of whose images the pool holds"
        )
    fields = {**recipe.fields, "weighter": "uniform", "value_for": list(rooms)}
    contents = "; ".join(room.contents for room in rooms.values())
    found = []
    for seed in seeds:
        config = base.replace(**fields, target=next(iter(rooms)), seed=seed)
        run = paths.run_name(config, "valuation", contents)
        found.append(Cell(VALUATION, config.data.target, seed, config, run))
    return found


def kept_cells(
    name: str,
    recipe: Method,
    study: optuna.Study,
    valuations: Sequence[Cell],
    base: RunConfig,
    rooms: Mapping[str, Room],
    paths: Paths,
    *,
    domain_fields: Mapping[str, Mapping[str, Any]],
) -> list[Cell]:
    """The second stage's runs, under that method's name: none for a seed whose valuation is not complete.

    Writes what each of them is trained on to the sweep's folder, below `kept`. A run is named after the valuation, not
    after that file's place, so that a sweep whose folder has moved knows it again.
    """
    found = []
    for valuation in valuations:
        measured = comparison_rows(study, [valuation])
        if not measured:
            continue
        run = RunDirectory(paths.fetch_run(valuation.run))
        for domain, room in rooms.items():
            table = read_usefulness(run.usefulness(domain))
            fields = {
                "weighter": "given",
                "weights_file": f"{valuation.run}/{domain}",
                "budget_images": budget_left(base, len(table.names), int(measured[0]["instances_seen"]), len(rooms)),
            }
            [cell] = cells(
                [Method(name, fields)], base, {domain: room}, [valuation.seed], paths, domain_fields=domain_fields
            )
            kept = kept_by_rule(table, base.replace(**recipe.fields, seed=valuation.seed))
            path = paths.path / "kept" / f"{cell.run}.parquet"
            path.parent.mkdir(exist_ok=True)
            write_weights_file(path, table.names, kept.astype(np.float64), table.content_key)
            found.append(dataclasses.replace(cell, config=cell.config.replace(weights_file=str(path))))
    return found


def read_usefulness(path: Path) -> Usefulness:
    """The table in a run's usefulness_TARGET.parquet; `InputError` for a file that is missing or damaged."""
    try:
        table = pq.read_table(path, columns=["index", "name", "a", "b", "mean"]).sort_by("index")
        key = (table.schema.metadata or {})[CONTENT_KEY].decode()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"one_run: {path} cannot be read ({' '.join(str(error).split())}); allowed: the file that the run left, or "
            "another --name"
        ) from None
    a, b, mean = (table[column].to_numpy() for column in ("a", "b", "mean"))
    return Usefulness(table["name"].to_numpy().astype(np.str_), a, b, mean, key)


def kept_by_rule(table: Usefulness, config: RunConfig) -> NDArray[np.bool_]:
    """(n,) what the paper's rule keeps by that table, with the floor of a run of that config (docs/design.md, section
    2): all but the images of which more than rho of the density lies below lambda."""
    weighter = config.weighter
    useless = is_useless(share_below(table.a, table.b, weighter.cdf_threshold), weighter.density_threshold)
    mask = KeepMask(len(useless), min_kept(config, len(useless)), seed=config.optimiser.seed, warn=False)
    mask.prune(useless, table.mean, epoch=1)
    kept: NDArray[np.bool_] = mask.kept.numpy()
    return kept


def budget_left(base: RunConfig, pool: int, valued_on: int, targets: int) -> int:
    """Images of a run of the second stage: the base's budget on a pool of that size without the target's share of the
    images that the valuation was trained on, rounded down."""
    whole = Budget.of(base.budget, pool).images
    assert whole is not None, "a budget of images"
    return whole - -(-valued_on // targets)


def cost_in_words(
    name: str, recipe: Method, study: optuna.Study, valuations: Sequence[Cell], later: Sequence[Cell]
) -> str | None:
    """What both ways cost for all targets, per seed, in images and in seconds of the valuation; None without a second
    stage."""
    measured = [rows[0] for valuation in valuations if (rows := comparison_rows(study, [valuation]))]
    if not measured or not later:
        return None
    targets = len({cell.domain for cell in later})
    left, valued_on = later[0].config.budget.budget_images, int(measured[0]["instances_seen"])
    assert left is not None, "given to every run of the second stage"
    own = left + -(-valued_on // targets)
    seconds = sum(float(row["wall_seconds"]) for row in measured) / len(measured)
    return (
        f"Equal total cost for {plural(targets, 'target')}: {recipe.name}, {targets} x {own:,} = {targets * own:,} "
        f"images; {name}, {valued_on:,} images of one valuation and {targets} x {left:,}, together "
        f"{valued_on + targets * left:,}. The valuation took {seconds:,.1f} s, {seconds / targets:,.1f} s for each "
        "target, which 'seconds a run' leaves out."
    )
