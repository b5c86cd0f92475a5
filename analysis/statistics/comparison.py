"""Compare methods over domains: average ranks, do they differ at all, which pairs do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.errors import (
    DuplicateError,
    NoCriticalDifferenceError,
    NotFiniteError,
    NotNumericError,
    OptionError,
    TooFewError,
    listing,
    shown,
)
from analysis.options import require_share
from analysis.score_table import score_table_without
from analysis.statistics import friedman, nemenyi
from analysis.statistics.missing import Dropped, MissingPolicy
from analysis.statistics.signed_rank import SignedRank, signed_rank
from analysis.statistics.skillings_mack import average_ranks_with_gaps, skillings_mack

OmnibusTest = Literal["friedman", "skillings-mack", "wilcoxon"]

TEST_NAMES: dict[OmnibusTest, str] = {
    "friedman": "Friedman",
    "skillings-mack": "Skillings-Mack",
    "wilcoxon": "Wilcoxon",
}
"""How texts and diagrams call the test that decided."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What a comparison of k methods over N domains found. Made by `compare` or `compare_ranks`.

    Friedman's, Iman and Davenport's and Nemenyi's tests are defined for tables without gaps. With gaps (`test` is
    "skillings-mack") their fields are None, the table of p-values is empty and there are no cliques.
    """

    average_ranks: pd.Series[float]
    """(k,) by method, 1 = best; sorted from the best to the worst, by name where ranks tie. With gaps, over the domains
    on which a method has a score (see `average_ranks_with_gaps`)."""
    domain_counts: pd.Series[int]
    """(k,) by method in the same order: over how many domains each average is; N unless there are gaps."""
    num_domains: int
    alpha: float
    """Level of all tests."""
    test: OmnibusTest
    """Which test decided whether the methods differ: "friedman"; "wilcoxon" for the scores of two methods;
    "skillings-mack" with gaps."""
    statistic: float
    """Statistic of the test that decided: chi-square, or Wilcoxon's T, the smaller sum of ranks."""
    p_value: float
    """p-value of the test that decided."""
    friedman_statistic: float | None
    """Chi-square with k-1 degrees of freedom; corrected for ties if made from scores."""
    friedman_p_value: float | None
    iman_davenport_statistic: float | None
    """F with k-1 and (k-1)(N-1) degrees of freedom, from the chi-square; infinite where all domains rank alike."""
    iman_davenport_p_value: float | None
    critical_difference: float | None
    """Nemenyi's, in ranks."""
    nemenyi_p_values: pd.DataFrame
    """(k, k), symmetric, in the order of `average_ranks`; (0, 0) with gaps."""
    cliques: tuple[tuple[str, ...], ...]
    """Maximal groups of two or more methods within which no difference was shown, in rank order: by Nemenyi's test, or
    by the one that decided if they are two. What a clique does not hold together was shown to differ only if
    `is_significant`."""
    wilcoxon: SignedRank | None
    """For the scores of two methods: the better-ranked first, positive where its score is the better one."""
    dropped: tuple[Dropped, ...]
    """Domains and methods that were left out for missing cells."""
    higher_is_better: bool | None
    """Direction of the scores; None if made from ranks."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, best first."""
        return tuple(self.average_ranks.index)

    @property
    def num_methods(self) -> int:
        """How many methods were compared."""
        return len(self.average_ranks)

    @property
    def is_significant(self) -> bool:
        """Whether `test` rejects "all methods are alike" at `alpha`; if not, no pair is called different."""
        return self.p_value < self.alpha

    def differs(self, method: str, other: str) -> bool:
        """Return whether the two were shown to differ: the methods differ at all, and these by CD or more.

        Of two methods compared by their scores, Wilcoxon's test alone decides.

        Raises:
            OptionError: a method that was not compared.
            NoCriticalDifferenceError: the scores have gaps; `wilcoxon_holm` tests pairs on their common domains.
        """
        for name in (method, other):
            if name not in self.average_ranks.index:
                raise OptionError(f"method: {name!r} was not compared; allowed: {listing(self.methods)}")
        if self.test == "wilcoxon":
            return self.is_significant and method != other
        distance = abs(self.average_ranks[method] - self.average_ranks[other])
        return self.is_significant and bool(distance >= require_critical_difference(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison in JSON types; what does not exist is None, an infinite F the text "infinity"."""
        f_statistic = self.iman_davenport_statistic
        return {
            "methods": list(self.methods),
            "num_methods": self.num_methods,
            "num_domains": self.num_domains,
            "alpha": self.alpha,
            "higher_is_better": self.higher_is_better,
            "average_ranks": dict(zip(self.methods, self.average_ranks.tolist(), strict=True)),
            "domain_counts": dict(zip(self.methods, self.domain_counts.tolist(), strict=True)),
            "dropped": [dropped.to_dict() for dropped in self.dropped],
            "test": self.test,
            "statistic": self.statistic,
            "p_value": self.p_value,
            "is_significant": self.is_significant,
            "friedman_statistic": self.friedman_statistic,
            "friedman_p_value": self.friedman_p_value,
            "iman_davenport_statistic": "infinity" if f_statistic == math.inf else f_statistic,
            "iman_davenport_p_value": self.iman_davenport_p_value,
            "critical_difference": self.critical_difference,
            "nemenyi_p_values": {
                method: dict(zip(self.nemenyi_p_values.columns, row, strict=True))
                for method, row in zip(
                    self.nemenyi_p_values.index, self.nemenyi_p_values.to_numpy().tolist(), strict=True
                )
            },
            "cliques": [list(clique) for clique in self.cliques],
        }


def require_critical_difference(comparison: Comparison) -> float:
    """Return the critical difference, or raise NoCriticalDifferenceError where scores have gaps."""
    if comparison.critical_difference is None:
        raise NoCriticalDifferenceError(
            "critical difference: none is valid for all pairs where scores are missing; allowed: a complete table "
            '(missing="drop domains" or "drop methods"), or `wilcoxon_holm` for pairs'
        )
    return comparison.critical_difference


def compare(
    scores: pd.DataFrame,
    *,
    higher_is_better: bool,
    alpha: float = 0.05,
    metric: str | None = None,
    missing: MissingPolicy = "error",
) -> Comparison:
    """Compare methods over domains by their ranks, after Demsar 2006 (JMLR 7), sections 3.1.3, 3.2.2 and 3.2.4.

    Friedman's test asks whether the methods differ at all, Nemenyi's which pairs do. The chi-square is an
    approximation, good for N > 10 and k > 5 and conservative below; Iman and Davenport's F beside it is less so, but
    the chi-square decides. Two methods are decided by Wilcoxon's signed-rank test (`signed_rank`; exact up to 25
    domains), which sees more in two columns than Friedman's, there a sign test.

    Missing cells are an error unless `missing` says what to do. With gaps kept ("skillings-mack"), Skillings and Mack's
    test decides whether the methods differ at all. No single critical difference is then valid for all pairs, as each
    pair has other domains in common: `critical_difference` is None, and pairs need `wilcoxon_holm`.

    Seeds of a long table are repeats of one measurement: they are averaged within a domain first and never count as
    domains, so that their spread does not enter the tests. An alternative that would use it is a mixed-effects model,
    value ~ method with random intercepts for domain and for domain x method and seeds as the residual. It is not built
    here: it takes scores of all domains to lie on one scale with normal errors of one size, which accuracies on unlike
    tasks do not, and with few domains its tests are approximate, too. The same long table fits one with, for example,
    statsmodels' MixedLM.

    Args:
        scores: wide table (index = domains, columns = methods), or the long results table with the columns method,
            domain, seed, metric, value. A missing cell is NaN in the wide table, no row but of NaN in the long one.
        higher_is_better: True for accuracies, False for losses. A long table that says otherwise is an error.
        alpha: level of the tests, in (0, 1).
        metric: which metric of a long table; None where it holds exactly one.
        missing: "error"; "drop domains" or "drop methods", those with a missing cell; "skillings-mack", which keeps
            them. What was left out stands in `Comparison.dropped`.

    Returns:
        a `Comparison`.

    Raises:
        AnalysisInputError: a ValueError whose one line names what is wrong; by subclass: MissingCellsError,
            NotFiniteError, NotNumericError, DuplicateError, TooFewError, ConstantScoresError, MetricError,
            DirectionError, ColumnsError, OptionError.
    """
    require_share("alpha", alpha)
    table, dropped = score_table_without(scores, higher_is_better=higher_is_better, metric=metric, missing=missing)
    ranks = friedman.rank_domains(table, higher_is_better=higher_is_better)
    if table.isna().to_numpy().any():
        return _comparison_with_gaps(ranks, alpha, dropped, higher_is_better=bool(higher_is_better))
    statistic = friedman.friedman_statistic(ranks)
    # Rank sums are exact in binary (multiples of one half), so equal average ranks are equal floats.
    average_ranks = _ordered(ranks.sum(axis=0) / len(ranks))
    wilcoxon = None
    if len(average_ranks) == 2:
        better, worse = (table[method] * (1 if higher_is_better else -1) for method in average_ranks.index)
        wilcoxon = signed_rank(better, worse)
    return _comparison(
        average_ranks,
        statistic,
        len(ranks),
        alpha,
        wilcoxon=wilcoxon,
        dropped=dropped,
        higher_is_better=bool(higher_is_better),
    )


def compare_ranks(
    average_ranks: pd.Series[float] | Mapping[str, float], *, num_domains: int, alpha: float = 0.05
) -> Comparison:
    """Compare methods of which only average ranks are known, as papers publish them.

    Friedman's statistic is the one without correction for ties, 12N/(k(k+1)) (sum R^2 - k(k+1)^2/4). It decides for two
    methods as well: without scores there is no signed-rank test.

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
    require_share("alpha", alpha)
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
    return _comparison(
        _ordered(ranks), statistic, int(num_domains), alpha, wilcoxon=None, dropped=(), higher_is_better=None
    )


def _ordered(average_ranks: pd.Series[float]) -> pd.Series[float]:
    """The same ranks from the best to the worst, by name where they tie."""
    order = sorted(average_ranks.index, key=lambda method: (average_ranks[method], str(method)))
    return pd.Series(
        [float(average_ranks[method]) for method in order],
        index=pd.Index([str(method) for method in order], dtype=object, name="method"),
        name="average_rank",
    )


def _comparison(
    average_ranks: pd.Series[float],
    friedman_statistic: float,
    num_domains: int,
    alpha: float,
    *,
    wilcoxon: SignedRank | None,
    dropped: tuple[Dropped, ...],
    higher_is_better: bool | None,
) -> Comparison:
    k = len(average_ranks)
    friedman_p_value = friedman.friedman_p_value(friedman_statistic, k)
    f_statistic = friedman.iman_davenport_statistic(friedman_statistic, num_domains, k)
    difference = nemenyi.critical_difference(k, num_domains, alpha)
    cliques = nemenyi.cliques(average_ranks, difference)
    if wilcoxon is not None:
        # A bar across two methods that the deciding test tells apart would be wrong.
        cliques = () if wilcoxon.p_value < alpha else (tuple(average_ranks.index),)
    return Comparison(
        average_ranks=average_ranks,
        domain_counts=pd.Series(num_domains, index=average_ranks.index, name="num_domains"),
        num_domains=num_domains,
        alpha=alpha,
        test="friedman" if wilcoxon is None else "wilcoxon",
        statistic=friedman_statistic if wilcoxon is None else wilcoxon.statistic,
        p_value=friedman_p_value if wilcoxon is None else wilcoxon.p_value,
        friedman_statistic=friedman_statistic,
        friedman_p_value=friedman_p_value,
        iman_davenport_statistic=f_statistic,
        iman_davenport_p_value=friedman.iman_davenport_p_value(f_statistic, average_ranks, num_domains),
        critical_difference=difference,
        nemenyi_p_values=nemenyi.pairwise_p_values(average_ranks, num_domains),
        cliques=cliques,
        wilcoxon=wilcoxon,
        dropped=dropped,
        higher_is_better=higher_is_better,
    )


def _comparison_with_gaps(
    ranks: pd.DataFrame, alpha: float, dropped: tuple[Dropped, ...], *, higher_is_better: bool
) -> Comparison:
    found = skillings_mack(ranks)
    average_ranks = _ordered(average_ranks_with_gaps(ranks))
    return Comparison(
        average_ranks=average_ranks,
        domain_counts=ranks.notna().sum(axis=0)[average_ranks.index].rename("num_domains"),
        num_domains=len(ranks),
        alpha=alpha,
        test="skillings-mack",
        statistic=found.statistic,
        p_value=found.p_value,
        friedman_statistic=None,
        friedman_p_value=None,
        iman_davenport_statistic=None,
        iman_davenport_p_value=None,
        critical_difference=None,
        nemenyi_p_values=pd.DataFrame(),
        cliques=(),
        wilcoxon=None,
        dropped=dropped,
        higher_is_better=higher_is_better,
    )
