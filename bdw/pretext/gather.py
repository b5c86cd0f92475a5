"""Embeddings of all workers, for tasks whose instances interact: 1 x 64 images are 2 x 32 for them, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from bdw.parallel import collectives


def gathered(rows: Tensor) -> tuple[Tensor, int]:
    """All workers' rows (m_r, ...) one below the other, in rank order, and where this worker's begin; m_r may differ.

    Backward and forward mode go through it. A gradient comes back summed over the workers, which fits losses whose mean
    over the workers is L (`PretextTask.loss`). Every worker calls it. Of k rows each worker gets the k - m_r that it
    lacks (each of the others' parts as long as the longest), once for values, tangents and gradients each.
    """
    if collectives.size() == 1:
        return rows, 0
    told = torch.empty(collectives.size(), dtype=torch.int64, device=rows.device)
    dist.all_gather_into_tensor(told, torch.tensor([len(rows)], device=rows.device))
    counts = told.tolist()
    everyones: Tensor = _Gather.apply(rows, counts)
    return everyones, sum(counts[: collectives.rank()])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        return _of_all(rows, counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _summed_over_workers(gradient, ctx.counts), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return _of_all(tangent, ctx.counts)


def _of_all(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """Every worker's rows (m_r, ...) -> all of them (k, ...)."""
    longest = max(counts)
    if len(rows) < longest:  # gloo gathers parts of one length
        rows = torch.cat([rows, rows.new_zeros(longest - len(rows), *rows.shape[1:])])
    parts = rows.new_empty(len(counts) * longest, *rows.shape[1:])
    dist.all_gather_into_tensor(parts, rows.contiguous())
    if min(counts) == longest:
        return parts
    return torch.cat([part[:count] for part, count in zip(parts.split(longest), counts, strict=True)])


def _summed_over_workers(everyones: Tensor, counts: Sequence[int]) -> Tensor:
    """Every worker's (k, ...) -> the sum (m_r, ...) over the workers of the rows that are this worker's."""
    mine = counts[collectives.rank()]
    parts = everyones.new_empty(len(counts) * mine, *everyones.shape[1:])
    dist.all_to_all_single(parts, everyones.contiguous(), [mine] * len(counts), list(counts))
    summed: Tensor = parts.unflatten(0, (len(counts), mine)).sum(dim=0)
    return summed
