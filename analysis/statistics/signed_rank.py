"""Wilcoxon's signed-rank test: do two methods differ over the same domains?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.errors import NotFiniteError, OptionError

Floats = npt.NDArray[np.float64]

EXACT_UP_TO = 25
"""Up to this number of differences other than zero the null distribution is exact, above it the normal
approximation."""

_ROUNDING = 4 * float(np.finfo(float).eps)


@dataclass(frozen=True, kw_only=True)
class SignedRank:
    """What `signed_rank` found for two columns of scores."""

    positive_rank_sum: float
    """Sum of the ranks of |first - second| over the domains on which the first is larger."""
    negative_rank_sum: float
    """The same where the second is larger. Domains without a difference have ranks, too, and are in neither sum."""
    p_value: float
    """Two-sided."""
    num_domains: int
    num_zeros: int
    """Number of domains on which the two are alike."""
    is_exact: bool
    """False where the normal approximation was used."""

    @property
    def statistic(self) -> float:
        """Wilcoxon's T, the smaller of the two rank sums."""
        return min(self.positive_rank_sum, self.negative_rank_sum)


def signed_rank(first: npt.ArrayLike, second: npt.ArrayLike) -> SignedRank:
    """Test whether two methods differ, by the signs and the ranks of their differences (Wilcoxon 1945).

    Ties share the mean of their ranks. Zeros follow Pratt (1959): they are ranked with the others and then left out of
    both sums, so that differences of zero count against a finding (Demsar 2006, section 3.1.3, halves their ranks
    between the sums, which leads to the same exact p-value; Wilcoxon himself dropped them before ranking, which can
    turn more evidence into less). Differences that differ by no more than rounding are ties, so that 0.3 - 0.2 and
    0.2 - 0.1 are alike.

    Given the ranks, each sign is equally likely under the null hypothesis. Up to `EXACT_UP_TO` differences other than
    zero the p-value is exact, with ties and zeros, by convolution. Above, it is that of a normal variable with the
    variance sum r^2 / 4 of these very ranks, which holds the corrections for ties and zeros; no continuity correction.

    Args:
        first: (N,) scores, finite.
        second: (N,) scores on the same domains, in the same order.

    Raises:
        OptionError: not two columns of the same length of at least 1.
        NotFiniteError: a score that is infinite or not a number.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.ndim != 1 or a.shape != b.shape or len(a) == 0:
        raise OptionError(
            f"scores: shapes {a.shape} and {b.shape}; allowed: two columns of the same length, at least 1"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise NotFiniteError("scores: infinite or not a number; allowed: finite numbers")
    differences = a - b
    ranks, is_zero = _ranks(np.abs(differences), _ROUNDING * np.maximum(np.abs(a), np.abs(b)))
    positive = float(ranks[(differences > 0) & ~is_zero].sum())
    negative = float(ranks[(differences < 0) & ~is_zero].sum())
    used = ranks[~is_zero]
    is_exact = len(used) <= EXACT_UP_TO
    return SignedRank(
        positive_rank_sum=positive,
        negative_rank_sum=negative,
        p_value=min(1.0, 2 * float(lower_tail(used, np.array(min(positive, negative))))),
        num_domains=len(a),
        num_zeros=int(is_zero.sum()),
        is_exact=is_exact,
    )


def _ranks(sizes: Floats, rounding: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(N,) midranks of the sizes, 1 = smallest, and (N,) which sizes are zero; both up to rounding."""
    is_zero = sizes <= rounding
    cleaned = np.where(is_zero, 0.0, sizes)
    order = np.argsort(cleaned, kind="stable")
    steps = np.diff(cleaned[order])
    slack = rounding[order]
    group = np.concatenate([[0], np.cumsum(steps > slack[1:] + slack[:-1])])
    members = np.bincount(group)
    last = np.cumsum(members)
    ranks = np.empty(len(sizes))
    ranks[order] = (last - (members - 1) / 2)[group]
    return ranks, is_zero


def lower_tail(ranks: Floats, statistics: Floats) -> Floats:
    """P(sum of the positive ranks <= statistic) for each statistic, where each rank is positive with chance 1/2.

    Exact for up to `EXACT_UP_TO` ranks (multiples of one half), otherwise of a normal variable of that variance.
    """
    return _exact_tail(ranks, statistics) if len(ranks) <= EXACT_UP_TO else _normal_tail(ranks, statistics)


def _exact_tail(ranks: Floats, statistics: Floats) -> Floats:
    # Midranks are multiples of one half; counts stay below 2^25 and are exact.
    doubled = np.rint(2 * ranks).astype(int)
    counts = np.zeros(int(doubled.sum()) + 1)
    counts[0] = 1.0
    for rank in doubled:
        counts[rank:] += counts[: len(counts) - rank].copy()
    return np.asarray(counts.cumsum()[np.rint(2 * statistics).astype(int)] / counts.sum())


def _normal_tail(ranks: Floats, statistics: Floats) -> Floats:
    deviation = math.sqrt(float(np.square(ranks).sum()) / 4)
    return np.asarray(stats.norm.cdf((statistics - float(ranks.sum()) / 2) / deviation))
