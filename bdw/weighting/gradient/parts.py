"""A step's batch in parts that pass through the model one after the other, which takes less memory."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from bdw.pretext import BatchLoss, Outputs, Views


def parts_of(views: Views, weights: Tensor, number: int) -> list[tuple[Views, Tensor]]:
    """Views and weights of consecutive instances, whose numbers differ by at most one; at least one instance each.

    Several parts need instances that all have views for the same tasks.
    """
    count = len(weights)
    number = min(number, count)
    if number == 1:
        return [(views, weights)]
    begins = [part * count // number for part in range(number + 1)]
    return [(_rows(views, begin, end, count), weights[begin:end]) for begin, end in itertools.pairwise(begins)]


def _rows(views: Views, begin: int, end: int, count: int) -> Views:
    def part(rows: Tensor) -> Tensor:
        each = len(rows) // count  # the views of an instance are consecutive
        return rows[begin * each : end * each]

    instances = None if views.instances is None else views.instances[begin:end]
    kept = None if views.kept is None else views.kept[begin:end]
    return Views(part(views.images), tuple(map(part, views.inputs)), instances, kept)


def joined(outputs: Sequence[Outputs], losses: Sequence[BatchLoss]) -> tuple[Outputs, BatchLoss]:
    """Of the whole batch, from those of its parts."""
    first = outputs[0]
    if len(outputs) == 1:
        return first, losses[0]
    return (
        Outputs(
            tuple(torch.cat(parts) for parts in zip(*(o.z for o in outputs), strict=True)),
            tuple(torch.cat(parts) for parts in zip(*(o.given for o in outputs), strict=True)),
            torch.cat([o.features for o in outputs]),
            None if first.hits is None else torch.cat([o.hits for o in outputs if o.hits is not None]),
            tuple(torch.cat(parts) for parts in zip(*(o.inner for o in outputs), strict=True)),
            None if first.kept is None else torch.cat([o.kept for o in outputs if o.kept is not None]),
        ),
        BatchLoss(torch.stack([loss.total for loss in losses]).sum(), torch.cat([loss.losses for loss in losses])),
    )
