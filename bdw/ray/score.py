"""Shards of a pool scored by Ray's workers, on this machine or on a cluster whose machines all see the pool."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from bdw.data.instances import Part
from bdw.errors import InputError, RunError
from bdw.ray.cluster import running_ray
from bdw.scoring.pool import Pool, PoolRequest, open_pool
from bdw.scoring.scorer import Scorer, ScorerFiles
from bdw.scoring.shards import ScoredShard, score_shard

WAITING = 2
"""Shards that are handed out ahead, for each worker."""

RETRIES = 3
"""How often a shard is scored again whose worker died."""

_loaded: dict[tuple[str, str], tuple[Part, Scorer]] = {}
"""What this worker process has opened: it scores many shards of one pool."""


def score_on_workers(
    files: ScorerFiles, request: PoolRequest, pool: Pool, wanted: Sequence[tuple[int, range]], num_workers: int
) -> Iterator[tuple[int, ScoredShard]]:
    """The scores of the wanted shards (number, rows), in the order in which they are done.

    A worker has one CPU. A shard whose worker dies is scored again, `RETRIES` times at most. Raises `InputError` for
    what cannot work and `RunError` for a shard that failed for good.
    """
    with running_ray(worker_groups=False):
        shared, task = ray.put(files), ray.remote(num_cpus=1, max_retries=RETRIES)(_score)
        waiting: dict[ray.ObjectRef, int] = {}
        to_do = iter(wanted)
        while True:
            while len(waiting) < WAITING * num_workers and (following := next(to_do, None)) is not None:
                number, rows = following
                waiting[task.remote(shared, request, pool.key, str(Path.cwd()), rows)] = number
            if not waiting:
                return
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            number = waiting.pop(done)
            try:
                yield number, ray.get(done)
            except RayTaskError as error:
                if isinstance(error.cause, InputError):
                    raise InputError(str(error.cause)) from None
                raise RunError(f"shard {number} could not be scored: {error.cause!r}") from error
            except RayError as error:
                raise RunError(f"shard {number} could not be scored: {error}") from error


def _score(files: ScorerFiles, request: PoolRequest, key: str, folder: str, rows: range) -> ScoredShard:
    """One shard, on a worker."""
    if Path(folder).is_dir():
        os.chdir(folder)  # Relative paths mean here what they meant where scores were asked for.
    mine = (files.key(), key)
    if mine not in _loaded:
        torch.set_num_threads(1)
        pool = open_pool(request)
        if pool.key != key:
            raise InputError(
                f"pool: {request.spec!r} holds other images on a worker's machine than here; allowed: a folder that "
                "all machines see"
            )
        _loaded.clear()
        _loaded[mine] = pool.part, files.load(torch.device("cpu"))
    part, scorer = _loaded[mine]
    return score_shard(part, rows, scorer)
