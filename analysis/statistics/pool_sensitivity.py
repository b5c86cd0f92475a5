"""Does the verdict on two methods survive leaving out a third one?

Average ranks, and with them Nemenyi's test, depend on who else is compared: Benavoli, Corani and Mangili 2016, "Should
we really use post-hoc tests based on mean-ranks?" (JMLR 17(5)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.errors import ConstantScoresError, one_line
from analysis.score_table import score_table
from analysis.statistics import friedman, nemenyi
from analysis.statistics.comparison import compare

EXACT_UP_TO = 12
"""Up to this number of methods all sub-pools are compared (4,083 for 12); with more, one method at a time is left
out."""


@dataclass(frozen=True, kw_only=True)
class PairSensitivity:
    """The verdicts on one pair of methods in several pools. A verdict is `Comparison.differs`."""

    first: str
    """The one with the better average rank in the whole pool."""
    second: str
    differs: bool
    """Verdict in the whole pool."""
    differs_without: Mapping[str, bool]
    """Verdict when one other method is left out, by its name."""
    num_pools: int
    """Number of pools with both methods that were looked at, the whole one included."""
    num_pools_with_difference: int
    """Number of these pools in which the two were shown to differ."""
    covers_all_pools: bool
    """Whether these are all pools with both methods; if not, the whole one and those without one other method."""

    @property
    def flipped_by(self) -> tuple[str, ...]:
        """The methods that reverse the whole pool's verdict when they alone are left out."""
        return tuple(method for method, differs in self.differs_without.items() if differs != self.differs)

    @property
    def share_with_difference(self) -> float:
        """Share of the pools in which the two were shown to differ, 0 to 1."""
        return self.num_pools_with_difference / self.num_pools

    @property
    def is_stable(self) -> bool:
        """Whether all pools that were looked at lead to the same verdict."""
        return self.num_pools_with_difference in (0, self.num_pools)

    def in_words(self) -> str:
        """Return a sentence: the verdict, the methods whose absence reverses it, and in how many pools there is a
        difference."""
        verdict = "differ" if self.differs else "no difference shown"
        flips = self.flipped_by
        turned = "is no longer shown" if self.differs else "is shown"
        without = f" A difference {turned} without {_any_of(flips)}." if flips else ""
        pools = "pools with both" if self.covers_all_pools else "pools (all methods, and all but one)"
        counts = f" Shown in {self.num_pools_with_difference} of {self.num_pools} {pools}."
        return one_line(f"{self.first} and {self.second}: {verdict} among all methods.{without}{counts}")


def pool_sensitivity(
    scores: pd.DataFrame, *, higher_is_better: bool, alpha: float = 0.05, metric: str | None = None
) -> tuple[PairSensitivity, ...]:
    """Repeat `compare` for sub-pools of the methods, and see whether its verdicts on pairs are the same.

    Up to `EXACT_UP_TO` methods all sub-pools are compared, the pair by itself included; with more methods the whole
    pool and those without one method. A pool in which all methods tie on all domains shows no difference.

    Args:
        scores: wide or long table, as for `compare`.
        higher_is_better: True for accuracies, False for losses.
        alpha: level of the tests, in (0, 1).
        metric: which metric of a long table; None where it holds exactly one.

    Returns:
        a record for each of the k(k-1)/2 pairs, in the order of average ranks in the whole pool.

    Raises:
        AnalysisInputError: as `compare`.
    """
    table = score_table(scores, higher_is_better=higher_is_better, metric=metric)
    methods = compare(table, higher_is_better=higher_is_better, alpha=alpha).methods
    k = len(methods)
    covers_all_pools = k <= EXACT_UP_TO
    sizes = range(2, k + 1) if covers_all_pools else (k - 1, k)
    pools = [pool for size in sizes for pool in combinations(methods, size)]
    limits = {size: nemenyi.critical_difference(size, len(table), alpha) for size in sizes}
    found = {
        pool: _differing_pairs(table[list(pool)], limits[len(pool)], alpha, higher_is_better=higher_is_better)
        for pool in pools
    }
    num_pools, num_different = _count(methods, found)
    return tuple(
        PairSensitivity(
            first=a,
            second=b,
            differs=(a, b) in found[methods],
            differs_without={
                other: (a, b) in found[tuple(method for method in methods if method != other)]
                for other in methods
                if other not in (a, b)
            },
            num_pools=num_pools[a, b],
            num_pools_with_difference=num_different[a, b],
            covers_all_pools=covers_all_pools,
        )
        for a, b in combinations(methods, 2)
    )


Pair = tuple[str, str]
Pool = tuple[str, ...]


def _differing_pairs(table: pd.DataFrame, limit: float, alpha: float, *, higher_is_better: bool) -> frozenset[Pair]:
    """The pairs that `compare` calls different, without its p-values: they would take most of the time."""
    methods = list(table.columns)
    try:
        if len(methods) == 2:
            alone = compare(table, higher_is_better=higher_is_better, alpha=alpha)
            return frozenset([(methods[0], methods[1])] if alone.differs(*methods) else [])
        ranks = friedman.rank_domains(table, higher_is_better=higher_is_better)
        statistic = friedman.friedman_statistic(ranks)
    except ConstantScoresError:
        return frozenset()
    if friedman.friedman_p_value(statistic, len(methods)) >= alpha:
        return frozenset()
    averages = (ranks.sum(axis=0) / len(ranks)).to_numpy()
    apart = np.triu(np.abs(averages[:, None] - averages) >= limit)
    return frozenset((methods[i], methods[j]) for i, j in np.argwhere(apart))


def _count(methods: Pool, found: Mapping[Pool, frozenset[Pair]]) -> tuple[dict[Pair, int], dict[Pair, int]]:
    """For each pair the number of pools that hold it, and the number of these in which it differs."""
    num_pools = dict.fromkeys(combinations(methods, 2), 0)
    num_different = dict(num_pools)
    for pool, differing in found.items():
        for pair in combinations(pool, 2):
            num_pools[pair] += 1
            num_different[pair] += pair in differing
    return num_pools, num_different


def _any_of(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
