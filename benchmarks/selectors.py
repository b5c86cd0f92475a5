"""What do choices before training gain at equal total cost, the cost of the choice counted?

`python -m benchmarks.selectors --save NAME` compares every selector, plain training, the recommended recipe and the
oracle on the rendered pool: ten targets, three seeds, a fifth of the pool. Every method has the same budget of images
in total, and trains plainly on its choice with what the choice leaves of it:

* An image that passes through a training step counts one. An image that is only read or embedded counts a third, what
  a forward pass takes beside a backward one; it takes far less here (`read_cost_measured` in the result).
* What all targets use is divided by their number: the plain run of one pass over the pool whose encoder compares
  images, the features of the pool, the experts of Neural Data Server. `charged_alone` is what one target would pay.
* The experts together have `experts_share` of the budgets of all targets, the same for each. Their defaults (20,000
  images each) would take most of it.
* The recommended recipe pays a fifth more for an image in an epoch that learns, and trains on fewer.

`importance` is left out, since this pool has no labels. Rows are kept in the working folder as they come; with
`--resume` a run that was cut off goes on. A run of 32,000 images takes 8 to 15 seconds of a core, all 330 an hour.
`--images 2500` makes runs of 10,000 images, 2 to 4 seconds each, and choices of 500 images for 1,600: an image is seen
as often, there are fewer to learn from, and methods differ less.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
import tyro

from analysis import Comparison, compare, describe, draw_cd, save_figure
from bdw.errors import InputError
from bdw.storage.atomic_write import write_text
from benchmarks import harness
from benchmarks.selector_runs import FEATURES, SELECTORS, SERVER, WEIGHTERS, Plan, one_run, shared_parts, target_of

COLUMNS = ("value", "letters", "charged", "charged_alone", "instances_seen", "seconds")
"""Whose means are printed; what is charged, in budgets."""
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Arguments(Plan):
    """Command line of this benchmark."""

    seeds: tuple[int, ...] = (1, 2, 3)
    """Of the runs, their pools and their choices."""
    methods: tuple[str, ...] = (*WEIGHTERS, *SELECTORS)
    processes: int = 1
    """Side by side, each on one thread."""
    resume: bool = False
    """Go on with the rows of the working folder, with more seeds or methods if these were added."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name, and the critical-difference diagram beside it."""

    def __post_init__(self) -> None:
        for name in ("scripts", "seeds", "methods"):
            if not getattr(self, name):
                raise InputError(f"{name}: none were given; allowed: at least one")
        for method in self.methods:
            if method not in (*WEIGHTERS, *SELECTORS):
                raise InputError(f"methods: {method!r} is none; allowed: {'; '.join((*WEIGHTERS, *SELECTORS))}")
        for name in ("read_cost", "experts_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}: {getattr(self, name)} cannot work; allowed: 0 to 1")
        for name in ("epochs", "images", "experts", "processes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} cannot work; allowed: at least 1")


def main(arguments: Arguments) -> Rows:
    """Print a line a run, then means and comparison; returns the rows."""
    rows = _rows_so_far(arguments)
    shutil.rmtree(arguments.working_dir / "runs", ignore_errors=True)  # of a run that was cut off
    (arguments.working_dir / "runs").mkdir(parents=True)
    done = {(row["seed"], row["domain"], row["method"]) for row in rows}
    experts = SERVER in arguments.methods
    first = [
        partial(shared_parts, arguments, seed, experts=experts)
        for seed in arguments.seeds
        if (seed, FEATURES, FEATURES) not in done
    ]
    # Methods within targets within seeds, so that what was cut off has whole targets.
    cells = [
        cell
        for cell in itertools.product(arguments.seeds, arguments.scripts, arguments.methods)
        if (cell[0], target_of(cell[1]), cell[2]) not in done
    ]
    print(f"{len(rows)} rows are there, {len(first) + len(cells)} are to come", flush=True)
    _measure(arguments, rows, first)
    seconds = {row["seed"]: row["seconds"] for row in rows if row["method"] == FEATURES}
    _measure(arguments, rows, [partial(one_run, arguments, *cell, seconds[cell[0]]) for cell in cells])
    return _finish(arguments, rows)


def _measure(arguments: Arguments, rows: Rows, jobs: Sequence[Callable[[], dict[str, Any]]]) -> None:
    """Add the row of every job as it comes, and say how long the others will take."""
    began = time.monotonic()
    for done, row in enumerate(_measured(jobs, arguments.processes), start=1):
        rows.append(row)
        contents = {"settings": _settings(arguments), "runs": rows}
        write_text(arguments.working_dir / "rows.json", json.dumps(contents, indent=1))
        left = (time.monotonic() - began) / done * (len(jobs) - done) / 60
        print(
            f"{row['domain']:22} seed {row['seed']}  {row['method']:26} {100 * row['value']:5.1f} %  "
            f"{row['seconds']:6.1f} s  {done} of {len(jobs)}, {left:.1f} min left",
            flush=True,
        )


def _measured(jobs: Sequence[Callable[[], dict[str, Any]]], processes: int) -> Iterator[dict[str, Any]]:
    """As they become ready."""
    if processes == 1:
        torch.set_num_threads(1)
        yield from (job() for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for future in as_completed([pool.submit(job) for job in jobs]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)  # After an error or Ctrl-C nothing new is begun.


def _settings(arguments: Arguments) -> dict[str, Any]:
    """All that a row depends on, as JSON has it. The number of targets says what each of them pays."""
    free = ("seeds", "methods", "processes", "working_dir", "resume", "save")
    found: dict[str, Any] = json.loads(json.dumps({k: v for k, v in vars(arguments).items() if k not in free}))
    return found


def _rows_so_far(arguments: Arguments) -> Rows:
    """Of the working folder; `InputError` for rows that nobody asked to continue, or of other settings."""
    folder = arguments.working_dir
    if not arguments.resume:
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"working_dir: {folder} is not empty; allowed: a new folder, or --resume")
        return []
    if not (folder / "rows.json").is_file():
        return []
    found = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    other = [name for name, value in _settings(arguments).items() if found["settings"].get(name) != value]
    if other:
        raise InputError(f"resume: {folder} has rows of another {', '.join(other)}; allowed: the same, or a new folder")
    rows: Rows = found["runs"]
    return rows


def _finish(arguments: Arguments, rows: Rows) -> Rows:
    """Print means and comparison, and save them if asked to; returns the rows that were asked for."""
    wanted = (*arguments.methods, FEATURES)
    rows = [row for row in rows if row["method"] in wanted and row["seed"] in arguments.seeds]
    results = pd.DataFrame([row for row in rows if row["method"] != FEATURES])
    means = results.groupby("method")[list(COLUMNS)].mean().round(4).loc[list(arguments.methods)]
    print(means.to_string())
    contents: dict[str, Any] = {"means": means.reset_index().to_dict("records")}
    measured = [row["read_cost_measured"] for row in rows if row["method"] == FEATURES]
    print(f"an image that is only embedded costs {harness.spread(measured)} of one that is trained on")
    if len(arguments.methods) > 1 and len(arguments.scripts) > 1:
        comparison = compare(results, higher_is_better=True)
        print(describe(comparison))
        contents |= {"comparison": _numbers(comparison)}
        if arguments.save is not None:
            figure = draw_cd(comparison).figure
            print(save_figure(figure, harness.RESULTS / f"{arguments.save}-critical-difference.png"))
    if arguments.save is not None:
        given = {**_settings(arguments), "seeds": arguments.seeds, "methods": arguments.methods}
        origin = harness.provenance(arguments.seeds[0])
        harness.write_result(arguments.save, {**origin, "arguments": given, **contents, "runs": rows})
    return rows


def _numbers(comparison: Comparison) -> dict[str, Any]:
    """Friedman's and Nemenyi's tests, as JSON has them."""
    return {
        "num_domains": comparison.num_domains,
        "friedman_statistic": comparison.friedman_statistic,
        "friedman_p_value": comparison.friedman_p_value,
        "critical_difference": comparison.critical_difference,
        "average_ranks": comparison.average_ranks.round(3).to_dict(),
        "cliques": comparison.cliques,
        "nemenyi_p_values": comparison.nemenyi_p_values.round(4).to_dict(),
    }


if __name__ == "__main__":
    try:
        main(tyro.cli(Arguments, description=__doc__))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
