"""When weights have settled: pruning has begun, and for some epochs hardly anything has been pruned."""

from __future__ import annotations

from collections.abc import Sequence

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.weighters import Learns, learns

SETTLED_SHARE = 0.01
"""Of the images kept, pruned over the epochs in question: below it the verdicts count as settled."""


def settled(kept: Sequence[int], num_instances: int, epochs: int) -> bool:
    """Whether less than `SETTLED_SHARE` of the images went in the last `epochs` epochs, after others had gone before.

    `kept`: instances kept after each epoch so far that learnt weights. Once true, it stays true: without learning
    nothing more is pruned.
    """
    if len(kept) <= epochs:
        return False
    before, now = kept[-1 - epochs], kept[-1]
    return before < num_instances and before - now < SETTLED_SHARE * before


def check(config: RunConfig) -> None:
    """`InputError` where nothing could ever settle."""
    weighter = config.weighter
    if weighter.settled_epochs is None:
        return
    if learns(weighter) is not Learns.AFTER_UPDATE:
        raise InputError(
            f"settled_epochs: {weighter.settled_epochs} cannot work with weighter {weighter.weighter!r}, which has no "
            "steps that could do without learning; allowed: none"
        )
    if not weighter.prune or weighter.pruned_for is not None:
        raise InputError(
            f"settled_epochs: {weighter.settled_epochs} cannot work "
            f"{'with pruned_for, which brings images back' if weighter.prune else 'without pruning'}; allowed: none"
        )
