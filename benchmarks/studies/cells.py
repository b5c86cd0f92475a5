"""Benchmarks whose work falls into targets, or methods, and seeds: in several processes, kept after each, continued
later."""

from __future__ import annotations

import json
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch

from bdw.errors import InputError
from benchmarks import harness

Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class CellArguments:
    """What the command lines of such benchmarks have in common."""

    data_root: str
    """Folder with the data sets as .npz files."""
    seeds: tuple[int, ...] = (0, 1, 2)
    workers: int = 1
    """Processes, each with a target (or method) and a seed at a time."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name; written after every target (or method) and seed."""
    resume: bool = False
    """Continue the result of that name, with more targets (or methods) or seeds if these were added."""


C = TypeVar("C", bound=CellArguments)

_FREE = ("data_root", "seeds", "workers", "save", "resume")
"""Arguments that may differ between runs of one result, besides what the work falls into."""


def work_through(
    arguments: C,
    measure: Callable[[C, str, int, str], Rows],
    summarise: Callable[[Rows], dict[str, Any]],
    by: Literal["targets", "methods"] = "targets",
) -> Rows:
    """The rows of `measure(arguments, target, seed, folder)` for every target (or method) with every seed.

    The arguments have the targets under the name `by`, and each row says its `target` (or `method`) and `seed`. The
    folder is the same for all, and gone afterwards. If the arguments say so the rows so far are saved with what
    `summarise` makes of them as soon as there are more.

    Raises:
        InputError: values that cannot work, or a result to continue that was made with other settings.
    """
    for name in (by, "seeds"):
        if not getattr(arguments, name):
            raise InputError(f"{name}: none were given; allowed: at least one")
    if arguments.workers < 1:
        raise InputError(f"workers: {arguments.workers!r} cannot work; allowed: at least 1")
    settings = {name: value for name, value in vars(arguments).items() if name not in (by, *_FREE)}
    runs = _runs_so_far(arguments, settings) if arguments.resume else []
    done = {(run[by.removesuffix("s")], run["seed"]) for run in runs}
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cells = [(arguments, one, seed, folder) for seed in arguments.seeds for one in getattr(arguments, by)]
        todo = [cell for cell in cells if cell[1:3] not in done]
        for rows in _measured(measure, todo, arguments.workers):
            runs += rows
            if arguments.save is not None:
                contents = {"settings": settings, **summarise(runs), "runs": runs}
                origin = harness.provenance(arguments.seeds[0])
                harness.write_result(arguments.save, {**origin, **contents}, data_root=arguments.data_root)
    return runs


def _measured(measure: Callable[..., Rows], cells: Sequence[tuple[Any, ...]], workers: int) -> Iterator[Rows]:
    """As they become ready. Every process uses one thread; they are in each other's way, so time means nothing."""
    if workers == 1:
        yield from (measure(*cell) for cell in cells)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for future in as_completed([pool.submit(measure, *cell) for cell in cells]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)  # After an error or Ctrl-C nothing new is begun.


def _runs_so_far(arguments: CellArguments, settings: dict[str, Any]) -> Rows:
    if arguments.save is None:
        raise InputError("resume: cannot work without save; allowed: the name of the result to continue")
    path = harness.RESULTS / f"{arguments.save}.json"
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    wanted = json.loads(json.dumps(settings))  # as written: lists for tuples
    differing = [name for name in wanted if found.get("settings", {}).get(name) != wanted[name]]
    if differing:
        raise InputError(
            f"resume: {path.name} was made with other settings ({', '.join(differing)}); allowed: the same settings, "
            "or another name to save under"
        )
    runs: Rows = found["runs"]
    return runs
