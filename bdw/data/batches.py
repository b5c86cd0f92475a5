"""Which images meet in a step: source batches that carry global indices, and target episodes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bdw.errors import InputError


def epoch_order(kept_indices: Tensor, generator: torch.Generator) -> Tensor:
    """The kept instances' global indices (int64) in a random order: one epoch."""
    return kept_indices[torch.randperm(len(kept_indices), generator=generator)]


def global_batches(order: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """The epoch cut into as few batches of at most `batch_size` as possible, with sizes that differ by at most one.

    No image is dropped and no batch is a small remainder, whose weights would count for more.
    """
    if len(order) == 0:
        return ()
    return order.tensor_split(-(-len(order) // batch_size))


def local_part(batch: Tensor, rank: int, world: int) -> Tensor:
    """This worker's share of a global batch; the shares of ranks 0 to world - 1 make the batch, in order."""
    return batch.tensor_split(world)[rank]


def distinct(count: int, size: int, generator: torch.Generator) -> Tensor:
    """`size` different numbers of 0 to count - 1 (int64) in a random order; all ordered choices are equally likely.

    A few out of many are drawn until all differ, which costs far less than shuffling all of them.
    """
    if size * size >= count:
        return torch.randperm(count, generator=generator)[:size]
    while True:
        drawn = torch.randint(count, (size,), generator=generator)
        if len(set(drawn.tolist())) == size:
            return drawn


class EpisodeSampler:
    """Draws K-way episodes of N shots and Q queries from labelled images, without replacement within an episode."""

    def __init__(
        self, labels: Tensor, ways: int, shots: int, queries: int, class_names: Sequence[str] | None = None
    ) -> None:
        """`labels` int64 (n,), 0 to C - 1. InputError if there are fewer than K classes or a class is too small."""
        counts = torch.bincount(labels.cpu())
        present = torch.nonzero(counts).flatten()
        need = shots + queries
        smallest = int(present[counts[present].argmin()])
        fits = f"the largest episode that fits has {min(ways, len(present))} ways and N + Q = "
        if len(present) < ways:
            fits += str(min(need, int(counts[smallest])))
            raise InputError(f"ways (K): {ways} classes needed but the target has {len(present)}; {fits}")
        if counts[smallest] < need:
            name = class_names[smallest] if class_names is not None else str(smallest)
            raise InputError(
                f"shots + queries (N + Q): {shots} + {queries} = {need} training images of every class needed but "
                f"class {name!r} has {int(counts[smallest])}; {fits}{int(counts[smallest])}"
            )
        self.ways, self.shots, self.queries = ways, shots, queries
        self._members = [torch.nonzero(labels.cpu() == label).flatten() for label in present]

    def draw(self, generator: torch.Generator) -> Tensor:
        """Positions int64 (ways, shots + queries) on the CPU: a row is a class, its first `shots` are the shots."""
        drawn = torch.randperm(len(self._members), generator=generator)[: self.ways].tolist()
        need = self.shots + self.queries
        rows = []
        for label in drawn:
            members = self._members[label]
            rows.append(members[torch.randperm(len(members), generator=generator)[:need]])
        return torch.stack(rows)
