"""Skillings and Mack's test: Friedman's question where some methods have no score on some domains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from analysis.errors import ConstantScoresError


@dataclass(frozen=True, kw_only=True, eq=False)
class SkillingsMack:
    """What `skillings_mack` found."""

    weighted_rank_sums: pd.Series[float]
    """(k,) by method: sums of centred ranks, each domain weighted by how much one rank says there; low is good."""
    statistic: float
    p_value: float
    degrees_of_freedom: int
    """Rank of the covariance of the sums: k - 1 unless ties on whole domains cut the methods into groups."""


def skillings_mack(ranks: pd.DataFrame) -> SkillingsMack:
    """Test whether methods differ, from ranks with gaps (Skillings and Mack 1981, Technometrics 23).

    On domain i, k_i methods have ranks r_ij from 1 to k_i. The sums A_j = sum_i sqrt(12 / (k_i + 1)) (r_ij - (k_i +
    1)/2), a gap adding nothing, have mean zero and a known covariance S under the null hypothesis; A' S^- A is then
    roughly chi-square. Ties make S smaller on their domain by 1 - sum (t^3 - t) / (k_i^3 - k_i), a correction that the
    paper leaves out; with it the statistic of a complete table is exactly Friedman's corrected for ties.

    The test takes gaps to be unrelated to the scores: a method that is missing where it would have failed is flattered.

    Args:
        ranks: (num_domains, num_methods), NaN for gaps, each row ranked among its own scores, two or more of them.

    Raises:
        ConstantScoresError: all methods tie on every domain.
    """
    values = ranks.to_numpy(dtype=float)
    present = ~np.isnan(values)
    sizes = present.sum(axis=1, keepdims=True)
    centred = np.where(present, values - (sizes + 1) / 2, 0.0)
    # 1 without ties, 0 where all tie.
    untied = np.square(centred).sum(axis=1, keepdims=True) / (sizes * (np.square(sizes) - 1) / 12)
    if not untied.any():
        raise ConstantScoresError(
            f"scores: all methods tie on each of the {len(values)} domains; "
            "allowed: at least one domain on which two methods differ"
        )
    sums = (np.sqrt(12 / (sizes + 1)) * centred).sum(axis=0)
    weights = present * untied
    covariance = np.diag((weights * sizes).sum(axis=0)) - weights.T @ present
    eigenvalues, vectors = np.linalg.eigh(covariance)
    positive = eigenvalues > 1e-10 * eigenvalues.max()
    statistic = float((np.square(vectors.T[positive] @ sums) / eigenvalues[positive]).sum())
    degrees = int(positive.sum())
    return SkillingsMack(
        weighted_rank_sums=pd.Series(sums, index=ranks.columns),
        statistic=statistic,
        p_value=float(stats.chi2.sf(statistic, degrees)),
        degrees_of_freedom=degrees,
    )


def average_ranks_with_gaps(ranks: pd.DataFrame) -> pd.Series[float]:
    """Return each method's mean rank over the domains on which it has a score, on one scale from 1 to k.

    Rank 3 of 3 is not rank 3 of 5: on a domain with k_i scores, rank r counts 1 + (k - 1)(r - 1)/(k_i - 1). Without
    gaps these are the average ranks. With gaps they are averages over different domains and need not add up to
    k(k+1)/2: they describe, and the test decides.

    Args:
        ranks: as `skillings_mack` takes them.
    """
    sizes = ranks.notna().sum(axis=1)
    scaled = 1 + (ranks.shape[1] - 1) * (ranks - 1).div(sizes - 1, axis=0)
    # fsum is exact, so that methods with the same ranks on other domains tie.
    means = [math.fsum(column.dropna()) / int(column.notna().sum()) for _, column in scaled.items()]
    return pd.Series(means, index=ranks.columns)
