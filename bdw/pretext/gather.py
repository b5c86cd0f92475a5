"""Embeddings of all workers, for tasks whose instances interact: 1 x 64 images are 2 x 32 for them, too."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from bdw.parallel import collectives


def gathered(rows: Tensor) -> tuple[Tensor, int]:
    """All workers' rows (m_r, ...) one below the other, in rank order, and where this worker's begin; m_r may differ.

    Backward and forward mode go through it. A gradient comes back summed over the workers, which fits losses whose mean
    over the workers is L (`PretextTask.loss`). Every worker calls it.
    """
    if collectives.size() == 1:
        return rows, 0
    counts = torch.zeros(collectives.size(), dtype=torch.int64, device=rows.device)
    counts[collectives.rank()] = len(rows)
    dist.all_reduce(counts)
    begins = int(counts[: collectives.rank()].sum())
    everyones: Tensor = _Gather.apply(rows, begins, int(counts.sum()))
    return everyones, begins


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, begins: int, total: int) -> Tensor:
        ctx.mine, ctx.total = slice(begins, begins + len(rows)), total
        return _placed(rows, ctx.mine, total)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return collectives.total(gradient.contiguous())[ctx.mine], None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return _placed(tangent, ctx.mine, ctx.total)


def _placed(rows: Tensor, mine: slice, total: int) -> Tensor:
    everyones = rows.new_zeros(total, *rows.shape[1:])
    everyones[mine] = rows
    dist.all_reduce(everyones)
    return everyones
