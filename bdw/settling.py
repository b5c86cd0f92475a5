"""When weights have settled: pruning has done most of what it will do, and for some epochs next to nothing."""

from __future__ import annotations

from collections.abc import Sequence

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.weighters import Learns, learns

SETTLED_SHARE = 0.05
"""Of all that has been pruned so far, in the epochs in question: below it the verdicts count as settled."""
BEGUN_SHARE = 0.01
"""Of the source: until so much has been pruned, pruning has not begun."""


def settled(kept: Sequence[int], num_instances: int, epochs: int) -> bool:
    """Whether less than `SETTLED_SHARE` of what has been pruned so far went in the last `epochs` epochs.

    A share of what was pruned, and not of what is kept, so that pruning that is slow but steady does not count as
    settled. `kept`: instances kept after each epoch so far that learnt weights. Once true, it stays true: without
    learning nothing more is pruned.
    """
    if len(kept) <= epochs:
        return False
    pruned, lately = num_instances - kept[-1], kept[-1 - epochs] - kept[-1]
    return pruned >= BEGUN_SHARE * num_instances and lately < SETTLED_SHARE * pruned


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
