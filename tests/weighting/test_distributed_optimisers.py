"""Two workers make the step of one, whatever the optimiser, with clipped gradients and batches in parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bdw.data.batches import local_part
from bdw.encoders.norm import SynchronisedBatchNorm
from bdw.parallel import collectives
from bdw.training.data_parallel import replicated
from bdw.weighting.gradient.update_derivative import Clipping
from bdw.weighting.step import SourceBatch, train_step
from tests.weighting.step_problem import LEARNING_RATE, K, Pretext, learner_of, with_fields
from tests.workers import on_workers


def _group_norm() -> nn.Module:
    return nn.GroupNorm(2, 4)


def _batch_norm() -> nn.Module:
    return nn.BatchNorm2d(4)


def _synchronised_norm() -> nn.Module:
    return SynchronisedBatchNorm(4)


def _stepped(
    optimiser: str, max_norm: float | None, parts: int, norm: Callable[[], nn.Module] = _group_norm
) -> dict[str, Tensor]:
    """The model and this worker's derivatives after two steps on its part of each."""
    torch.manual_seed(3)
    target = Pretext(torch.randn(12, 1, 6, 6, dtype=torch.float64))
    learner = learner_of(target, norm=norm)  # type: ignore[arg-type]
    if optimiser == "adamw":
        learner = dataclasses.replace(
            learner, optimiser=torch.optim.AdamW(learner.model.parameters(), lr=LEARNING_RATE)
        )
    learner = with_fields(learner, wanted="forward_mode", parts=parts)
    wrapped = replicated(learner.model, torch.zeros(2, 1, 6, 6, dtype=torch.uint8))
    clipping = None if max_norm is None else Clipping(max_norm)
    learner = dataclasses.replace(learner, replicated=wrapped, accumulate=parts, clipping=clipping)
    generator, told = torch.Generator().manual_seed(7), []
    for _ in range(2):
        images = torch.randn(K, 1, 6, 6, dtype=torch.float64, generator=generator)
        mine = local_part(torch.arange(K), collectives.rank(), collectives.size())
        measured = train_step(learner, SourceBatch(mine, images[mine], K))
        assert measured.derivatives is not None
        told.append(measured.derivatives)
    model = torch.cat([parameter.detach().flatten() for parameter in learner.model.parameters()])
    return {"model": model, "derivatives": torch.stack(told), "rows": mine}


def test_two_workers_make_the_step_of_one_through_batch_norm_over_all_images(tmp_path: Path) -> None:
    """The meta-gradient, too; with each worker's own batch norm the steps differ."""
    whole: Any = _stepped("sgd", None, 1, _batch_norm)
    for norm in (_synchronised_norm, _batch_norm):
        for worker in on_workers(2, tmp_path / norm.__name__, _stepped, "sgd", None, 1, norm):
            close = torch.allclose(worker["model"], whole["model"], rtol=1e-9, atol=1e-10)
            found, expected = worker["derivatives"], whole["derivatives"][:, worker["rows"]]
            agrees = torch.allclose(found, expected, rtol=1e-8, atol=1e-11)
            assert close == agrees == (norm is _synchronised_norm)


@pytest.mark.parametrize(("optimiser", "max_norm"), [("adamw", None), ("adamw", 0.01), ("sgd", 0.01)])
def test_two_workers_make_the_step_of_one(optimiser: str, max_norm: float | None, tmp_path: Path) -> None:
    whole: Any = _stepped(optimiser, max_norm, 1)
    workers = on_workers(2, tmp_path / "workers", _stepped, optimiser, max_norm, 2)
    assert sorted(torch.cat([worker["rows"] for worker in workers]).tolist()) == list(range(K))
    for worker in workers:
        torch.testing.assert_close(worker["model"], whole["model"], rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(
            worker["derivatives"], whole["derivatives"][:, worker["rows"]], rtol=1e-8, atol=1e-11
        )
