"""Independent pieces of work on Ray's workers, one CPU each, on this machine or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from bdw.errors import InputError, RunError
from bdw.ray.cluster import running_ray

RETRIES = 3
"""How often a piece is done again whose worker died."""


@contextmanager
def side_by_side(num_workers: int) -> Iterator[Callable[[Sequence[Callable[[], Any]]], Iterator[Any]]]:
    """Within the block: a function that does pieces of work on so many workers, and hands over what each returns as
    soon as it is there, in any order.

    The files that a piece reads must be where they are here. Raises `InputError` for what cannot work and `RunError`
    for a piece that failed for good.
    """
    with running_ray(worker_groups=False):

        def done(work: Sequence[Callable[[], Any]]) -> Iterator[Any]:
            return _done(work, num_workers)

        yield done


def _done(work: Sequence[Callable[[], Any]], num_workers: int) -> Iterator[Any]:
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_on_one_thread)
    to_do, waiting = iter(work), list[Any]()
    while True:
        while len(waiting) < num_workers and (following := next(to_do, None)) is not None:
            waiting.append(task.remote(following, str(Path.cwd())))
        if not waiting:
            return
        (ready,), waiting = ray.wait(waiting, num_returns=1)
        try:
            yield ray.get(ready)
        except RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise InputError(str(error.cause)) from None
            raise RunError(f"a worker failed: {error.cause!r}") from error
        except RayError as error:
            raise RunError(f"a worker failed: {error}") from error


def _on_one_thread(work: Callable[[], Any], folder: str) -> Any:
    if Path(folder).is_dir():
        os.chdir(folder)  # Relative paths mean here what they meant where the work was handed out.
    torch.set_num_threads(1)
    return work()
