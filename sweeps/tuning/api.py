"""A search of one's own from Python: the same search as `sweeps/search.py`, with its results as objects."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from bdw.config.fields import coerced
from bdw.errors import unknown_option
from sweeps.tuning.options import Options
from sweeps.tuning.result_grid import ResultGrid
from sweeps.tuning.run import search
from sweeps.tuning.space_text import words_of
from sweeps.tuning.tune_space import entries_of


def tune(
    space: Mapping[str, Any],
    *,
    source: str | None = None,
    target: str | Sequence[str] = (),
    objective: str | Sequence[str] = ("accuracy",),
    num_samples: int | None = None,
    sampler: str = "tpe",
    scheduler: str | None = None,
    max_concurrent_trials: int | None = None,
    storage_path: str | None = None,
    name: str | None = None,
    verbose: int = 1,
    **options: Any,
) -> ResultGrid:
    """Search settings and return all trials; a search of the same name goes on where it was.

        grid = sweeps.tune({"weight_lr": tune.loguniform(1, 10)}, source="photos", target="labelled", num_samples=20)
        grid.get_best_result().config

    Args:
        space: field of a run's config, by name or dotted path, -> `tune.uniform(...)` or another domain of Ray Tune, a
            distribution of Optuna, an entry of `sweeps.tuning.space`, or a fixed value.
        source, target, objective, sampler, scheduler, storage_path, name: as for `sweeps/search.py`. Several targets
            are a list.
        num_samples: trials; default: 20, or all points of a grid.
        max_concurrent_trials: default: as many as fit.
        verbose: 0 prints nothing.
        options: further ones of `sweeps/search.py`, such as `seeds`, `preset`, `gpus_per_trial` or `num_workers`.

    Returns:
        the trials, those of earlier starts included.

    Raises:
        InputError: something cannot work, known before any compute; or no trial is complete.
    """
    given = {
        "source": source,
        "targets": _several(target),
        "objective": _several(objective),
        "space": words_of(entries_of(space)),
        "samples": num_samples,
        "sampler": sampler,
        "scheduler": scheduler,
        "concurrency": max_concurrent_trials,
        "storage_path": storage_path,
        "name": name,
    }
    types = typing.get_type_hints(Options)
    for option in options:
        if option not in types or option in given:
            raise unknown_option("options", option, set(types) - set(given))
    values = {option: coerced(option, value, types[option]) for option, value in {**given, **options}.items()}
    return ResultGrid(*search(Options(**values), Console(quiet=verbose == 0)))


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
