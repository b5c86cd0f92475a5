"""Which images to keep, given their scores: a number, a share or all above a threshold; spread over clusters on
request, and of near-duplicates only the best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bdw.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How many images to keep; exactly one field is given."""

    count: int | None = None
    share: float | None = None
    """Of all images that have scores, near-duplicates included; above 0, at most 1."""
    at_least: float | None = None
    """All whose score is not below this."""

    def __post_init__(self) -> None:
        given = [name for name in ("count", "share", "at_least") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(f"count, share, at_least: {', '.join(given) or 'none'} given; allowed: one of them")
        if self.count is not None and self.count < 1:
            raise InputError(f"count: {self.count} cannot work; allowed: at least 1")
        if self.share is not None and not 0 < self.share <= 1:
            raise InputError(f"share: {self.share} cannot work; allowed: above 0, at most 1")
        if self.at_least is not None and not np.isfinite(self.at_least):
            raise InputError(f"at_least: {self.at_least} cannot work; allowed: a number")


def chosen(
    scores: NDArray[np.float64],
    amount: Amount,
    *,
    clusters: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Which of n images are kept, bool (n,); of equal scores the first image goes first.

    Args:
        scores: (n,), more is better.
        amount: how many.
        clusters: (n,) cluster numbers: every cluster gives as many images as any other, its best ones, and one that has
            too few gives all.
        groups: (n,) of near-duplicates, of which only the best takes part.

    Raises:
        InputError: more images are asked for than there are, or none has the score that is asked for.
    """
    order = np.argsort(-scores, kind="stable")
    if groups is not None:
        # The first of each group in the order of scores.
        order = order[np.sort(np.unique(groups[order], return_index=True)[1])]
    kept = np.zeros(len(scores), dtype=np.bool_)
    if amount.at_least is not None:
        if clusters is not None:
            raise InputError("clusters: cannot work with at_least; allowed: count or share")
        kept[order[scores[order] >= amount.at_least]] = True
        if not kept.any():
            raise InputError(
                f"at_least: no score reaches {amount.at_least}; allowed: at most {scores.max():.6g}, the highest score"
            )
        return kept
    wanted = amount.count if amount.count is not None else max(1, round((amount.share or 0) * len(scores)))
    if wanted > len(order):
        what = "images" if groups is None else "images that are no near-duplicates of better ones"
        name, value = ("count", amount.count) if amount.count is not None else ("share", amount.share)
        raise InputError(f"{name}: {value} asks for {wanted:,} of {len(order):,} {what}; allowed: at most all of them")
    if clusters is None:
        kept[order[:wanted]] = True
    else:
        kept[order[_evenly(clusters[order], wanted)]] = True
    return kept


def _evenly(clusters: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """So many positions in a list of cluster numbers, the first of each cluster before the second of any."""
    turn = np.empty(len(clusters), dtype=np.int64)
    for cluster in np.unique(clusters):
        mine = np.flatnonzero(clusters == cluster)
        turn[mine] = np.arange(len(mine))
    return np.argsort(turn, kind="stable")[:wanted]
