"""Bytes that a task's own exchange takes in a step, counted at torch.distributed, against docs/pretext-tasks.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness
from bdw.weighting.gradient.estimators import choose
from bdw.weighting.step import Learner, weighted_update
from bdw.weighting.weighters.fixed import FixedWeights
from tests.pretext.cases import CASES
from tests.pretext.models import not_augmented, views_of
from tests.workers import on_workers

K = 8
"""Images in a step over all workers."""
NUMBER = 8
"""Bytes of one, in float64."""
D, P, DINO_P = 4, 20, 9
"""Numbers in an embedding of the toy problems (`cases`), and prototypes."""
TASKS = ("simclr", "barlow_twins", "vicreg", "swav", "moco_v2", "dino")
OTHERS = ("broadcast", "reduce", "all_gather", "all_gather_object", "reduce_scatter", "all_to_all", "gather", "scatter")


class Received:
    """Bytes that this worker gets from the others by the collectives that tasks use; any other is an error."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Within, calls count; a ring all-reduce as the 2 (W - 1) / W of its input that each worker gets."""
        ranks = collectives.size()

        def all_gather(parts: Tensor, rows: Tensor, *args: Any) -> None:
            self.bytes += parts.nbytes - rows.nbytes
            real["all_gather_into_tensor"](parts, rows, *args)

        def all_to_all(parts: Tensor, rows: Tensor, theirs: list[int], mine: list[int]) -> None:
            self.bytes += parts.nbytes * (ranks - 1) // ranks
            real["all_to_all_single"](parts, rows, theirs, mine)

        def all_reduce(values: Tensor, *args: Any) -> None:
            self.bytes += 2 * values.nbytes * (ranks - 1) // ranks
            real["all_reduce"](values, *args)

        counting: dict[str, Callable[..., None]] = {
            "all_gather_into_tensor": all_gather,
            "all_to_all_single": all_to_all,
            "all_reduce": all_reduce,
        }
        real = {name: getattr(dist, name) for name in counting}
        refused = {name: mock.Mock(side_effect=AssertionError(f"{name} is not counted")) for name in OTHERS}
        with mock.patch.multiple(dist, **counting, **refused):
            yield


def _step(name: str) -> dict[str, int]:
    """Bytes of the training pass, of the tangent pass and of what follows the step."""
    case, workers = CASES[name], collectives.size()
    model = case.model()
    m = K // workers
    views = views_of(model, case.images(m))._replace(instances=torch.arange(m) + m * collectives.rank())
    weights = torch.linspace(0.2, 1.5, m, dtype=torch.float64)
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimiser = torch.optim.SGD(trained.values(), lr=0.01)
    learner = Learner(model, model, optimiser, FixedWeights(np.ones(K)), None, Randomness(0), not_augmented)
    found = {}
    received = Received()
    with received.counted(), choose(model, "forward_mode").watch(views, weights, K) as of_instances:
        outputs, _ = weighted_update(learner, views, weights, K)
        found["training"] = received.bytes
        of_instances({name: torch.ones_like(value) for name, value in trained.items()}, outputs)
        found["tangents"] = received.bytes - found["training"]
        before = received.bytes
        model.task.after_step(model.encoder, outputs, 0.5)
        found["after"] = received.bytes - before
    return found


def _gathers(count: int, workers: int) -> int:
    """Each tells how many rows a worker has."""
    return 8 * count * (workers - 1)


def _expected(name: str, workers: int) -> dict[str, int]:
    lacks = K - K // workers
    embeddings = lacks * 2 * D * NUMBER
    if name == "simclr":
        return {
            "training": 2 * embeddings + _gathers(1, workers),
            "tangents": 2 * embeddings + _gathers(1, workers),
            "after": 0,
        }
    if name in ("barlow_twins", "vicreg"):
        return {
            "training": 2 * embeddings + lacks * NUMBER + _gathers(2, workers),
            "tangents": 2 * embeddings + 2 * lacks * NUMBER + _gathers(2, workers),
            "after": 0,
        }
    if name == "swav":
        scores = lacks * 2 * P * NUMBER + _gathers(1, workers)
        return {"training": scores, "tangents": scores, "after": lacks * 2 * 8 * NUMBER + _gathers(1, workers)}
    if name == "moco_v2":
        return {"training": 0, "tangents": 0, "after": lacks * (D * NUMBER + 8) + _gathers(2, workers)}
    assert name == "dino"
    return {"training": 0, "tangents": 0, "after": math.floor(2 * (DINO_P + 1) * NUMBER * (workers - 1) / workers)}


def _steps() -> dict[str, dict[str, int]]:
    return {name: _step(name) for name in TASKS}


@pytest.mark.parametrize("workers", [2, 4])
def test_a_step_exchanges_what_the_page_says(workers: int, tmp_path: Path) -> None:
    expected = {name: _expected(name, workers) for name in TASKS}
    assert on_workers(workers, tmp_path / "results", _steps) == [expected] * workers


@pytest.mark.parametrize("name", TASKS)
def test_one_worker_exchanges_nothing(name: str) -> None:
    assert _step(name) == {"training": 0, "tangents": 0, "after": 0}
