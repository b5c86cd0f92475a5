"""Compare methods over domains: average ranks, Friedman's test, Nemenyi's critical difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import friedman, nemenyi
from analysis.errors import (
    DuplicateError,
    NotFiniteError,
    NotNumericError,
    OptionError,
    TooFewError,
    listing,
    shown,
)
from analysis.score_table import score_table


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What a comparison of k methods over N domains found. Made by `compare` or `compare_ranks`."""

    average_ranks: pd.Series[float]
    """(k,) by method, 1 = best; sorted from the best to the worst, by name where ranks tie."""
    num_domains: int
    alpha: float
    """Level of both tests."""
    friedman_statistic: float
    """Chi-square with k-1 degrees of freedom; corrected for ties if made from scores."""
    friedman_p_value: float
    critical_difference: float
    """Nemenyi's, in ranks."""
    nemenyi_p_values: pd.DataFrame
    """(k, k), symmetric, in the order of `average_ranks`."""
    cliques: tuple[tuple[str, ...], ...]
    """Maximal groups of two or more methods within which Nemenyi's test shows no difference, in rank order."""
    higher_is_better: bool | None
    """Direction of the scores; None if made from ranks."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, best first."""
        return tuple(self.average_ranks.index)

    @property
    def is_significant(self) -> bool:
        """Whether Friedman's test rejects "all methods are alike" at `alpha`; if not, no pair is called different."""
        return self.friedman_p_value < self.alpha

    def differs(self, method: str, other: str) -> bool:
        """Return whether the two were shown to differ: Friedman rejects and their ranks are at least CD apart."""
        distance = abs(self.average_ranks[method] - self.average_ranks[other])
        return self.is_significant and bool(distance >= self.critical_difference)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison in JSON types."""
        return {
            "methods": list(self.methods),
            "num_domains": self.num_domains,
            "alpha": self.alpha,
            "higher_is_better": self.higher_is_better,
            "average_ranks": dict(zip(self.methods, self.average_ranks.tolist(), strict=True)),
            "friedman_statistic": self.friedman_statistic,
            "friedman_p_value": self.friedman_p_value,
            "is_significant": self.is_significant,
            "critical_difference": self.critical_difference,
            "nemenyi_p_values": {
                method: dict(zip(self.methods, row, strict=True))
                for method, row in zip(self.methods, self.nemenyi_p_values.to_numpy().tolist(), strict=True)
            },
            "cliques": [list(clique) for clique in self.cliques],
        }


def compare(
    scores: pd.DataFrame, *, higher_is_better: bool, alpha: float = 0.05, metric: str | None = None
) -> Comparison:
    """Compare methods over domains by their ranks, after Demsar 2006 (JMLR 7), sections 3.2.2 and 3.2.4.

    Friedman's test asks whether the methods differ at all, Nemenyi's which pairs do. The chi-square is an
    approximation, good for N > 10 and k > 5. Two methods are accepted and come back in the same record, Friedman then
    being the sign test: Wilcoxon's signed-rank test sees more in two columns.

    Args:
        scores: wide table (index = domains, columns = methods, no cell empty), or the long results table with the
            columns method, domain, seed, metric, value; its seeds are averaged within a domain first.
        higher_is_better: True for accuracies, False for losses. A long table that says otherwise is an error.
        alpha: level of the tests, in (0, 1).
        metric: which metric of a long table; None where it holds exactly one.

    Returns:
        a `Comparison`.

    Raises:
        AnalysisInputError: a ValueError whose one line names what is wrong; by subclass: MissingCellsError,
            NotFiniteError, NotNumericError, DuplicateError, TooFewError, ConstantScoresError, MetricError,
            DirectionError, ColumnsError, OptionError.
    """
    _require_alpha(alpha)
    table = score_table(scores, higher_is_better=higher_is_better, metric=metric)
    ranks = friedman.rank_domains(table, higher_is_better=higher_is_better)
    statistic = friedman.friedman_statistic(ranks)
    # Rank sums are exact in binary (multiples of one half), so equal average ranks are equal floats.
    average_ranks = ranks.sum(axis=0) / len(ranks)
    return _comparison(average_ranks, statistic, len(ranks), alpha, higher_is_better=bool(higher_is_better))


def compare_ranks(
    average_ranks: pd.Series[float] | Mapping[str, float], *, num_domains: int, alpha: float = 0.05
) -> Comparison:
    """Compare methods of which only average ranks are known, as papers publish them.

    Friedman's statistic is the one without correction for ties, 12N/(k(k+1)) (sum R^2 - k(k+1)^2/4).

    Args:
        average_ranks: (k,) by method, 1 = best; they must add up to k(k+1)/2 but for rounding to one decimal.
        num_domains: over how many domains they are averages.
        alpha: level of the tests, in (0, 1).

    Returns:
        a `Comparison` with `higher_is_better` None.

    Raises:
        AnalysisInputError: ranks outside [1, k], of the wrong sum, or not finite; fewer than two methods or domains;
            alpha outside (0, 1).
    """
    _require_alpha(alpha)
    ranks = pd.Series(average_ranks, dtype=object)
    for method, rank in ranks.items():
        if isinstance(rank, bool) or not isinstance(rank, (int, float, np.number)):
            raise NotNumericError(f"average_ranks: {shown(rank)} for {method}; allowed: numbers")
        if not math.isfinite(rank):
            raise NotFiniteError(f"average_ranks: {shown(rank)} for {method}; allowed: finite numbers")
    ranks = ranks.astype(float)
    k = len(ranks)
    if ranks.index.has_duplicates:
        raise DuplicateError(f"average_ranks: {listing(ranks.index[ranks.index.duplicated()])} more than once")
    if k < 2:
        raise TooFewError(f"average_ranks: {k} ({listing(ranks.index) or 'none'}); allowed: at least 2 methods")
    if isinstance(num_domains, bool) or not isinstance(num_domains, (int, np.integer)):
        raise OptionError(f"num_domains: {num_domains!r}; allowed: a whole number of at least 2")
    if num_domains < 2:
        raise TooFewError(f"num_domains: {num_domains}; allowed: at least 2")
    outside = ranks[(ranks < 1) | (ranks > k)]
    if len(outside) > 0:
        raise OptionError(f"average_ranks: {outside.iloc[0]} for {outside.index[0]}; allowed: 1 to {k}")
    if abs(ranks.sum() - k * (k + 1) / 2) > 0.05 * k + 1e-9:
        raise OptionError(
            f"average_ranks: they add up to {ranks.sum():g}; allowed: {k * (k + 1) / 2:g} for {k} methods"
        )
    statistic = friedman.friedman_statistic_from_average_ranks(ranks, int(num_domains))
    return _comparison(ranks, statistic, int(num_domains), alpha, higher_is_better=None)


def _comparison(
    average_ranks: pd.Series[float], statistic: float, num_domains: int, alpha: float, *, higher_is_better: bool | None
) -> Comparison:
    k = len(average_ranks)
    order = sorted(average_ranks.index, key=lambda method: (average_ranks[method], str(method)))
    ordered = pd.Series(
        [float(average_ranks[method]) for method in order],
        index=pd.Index([str(method) for method in order], dtype=object, name="method"),
        name="average_rank",
    )
    difference = nemenyi.critical_difference(k, num_domains, alpha)
    return Comparison(
        average_ranks=ordered,
        num_domains=num_domains,
        alpha=alpha,
        friedman_statistic=statistic,
        friedman_p_value=friedman.friedman_p_value(statistic, k),
        critical_difference=difference,
        nemenyi_p_values=nemenyi.pairwise_p_values(ordered, num_domains),
        cliques=nemenyi.cliques(ordered, difference),
        higher_is_better=higher_is_better,
    )


def _require_alpha(alpha: float) -> None:
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float, np.number)) or not 0 < alpha < 1:
        raise OptionError(f"alpha: {shown(alpha)}; allowed: between 0 and 1, both excluded")
