"""Bayesian signed-rank test: how probable is it that one method is better, or that the two are practically equal?

Benavoli, Corani, Mangili, Zaffalon and Ruggeri 2014 (ICML); with a region of practical equivalence, Benavoli, Corani,
Demsar and Zaffalon 2017 (JMLR 18(77)), section 4.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import OptionError, shown
from analysis.options import require_whole
from analysis.score_table import score_table
from analysis.statistics.pairs import Floats, advantages, meaningful_decimals, ranked_pairs, require_pair, rounded

PRIOR_STRENGTH = 0.5
"""Weight of the prior's pseudo-observation, a domain on which both methods are equal; a domain that was seen has 1."""

_CHUNK = 2**22
"""How many weights are worked on at a time, to bound the memory."""


@dataclass(frozen=True, kw_only=True)
class PosteriorOfPair:
    """The posterior of two methods, given the domains; the three probabilities add up to 1."""

    first: str
    second: str
    first_is_better: float
    """Probability that "the first is better by more than the region" outweighs the other two answers."""
    equivalent: float
    """Probability that "their difference lies in the region" does."""
    second_is_better: float
    """Probability that "the second is better by more than the region" does."""
    rope: float
    """Half the width of the region of practical equivalence, in the unit of the scores: [-rope, rope]."""
    num_domains: int
    num_samples: int
    """Number of Monte-Carlo samples that the probabilities are shares of."""

    @property
    def standard_errors(self) -> tuple[float, float, float]:
        """Monte-Carlo standard errors of the three probabilities, in their order.

        They are those of (count + 1) / (num_samples + 2), which are not 0 where none or all of the samples agree.
        """
        return (
            _standard_error(self.first_is_better, self.num_samples),
            _standard_error(self.equivalent, self.num_samples),
            _standard_error(self.second_is_better, self.num_samples),
        )


def bayesian_signed_rank(
    scores: pd.DataFrame,
    first: str,
    second: str,
    *,
    higher_is_better: bool,
    rope: float,
    metric: str | None = None,
    num_samples: int = 50_000,
    seed: int = 0,
) -> PosteriorOfPair:
    """Compare two methods by the Bayesian signed-rank test.

    The domains' differences, and a pseudo-observation of 0 with the weight `PRIOR_STRENGTH`, get Dirichlet-distributed
    weights. Two domains drawn by such weights (the same one may be drawn twice) vote by the mean of their differences:
    beyond the region on either side, or in it, its ends included. A sample of the weights counts for the answer of the
    most votes; a probability is the share of samples.

    Args:
        scores: wide or long table, as for `compare`; seeds are averaged within a domain first.
        first: a method of the table.
        second: another one.
        higher_is_better: True for accuracies, False for losses.
        rope: largest difference that is of no practical interest, in the unit of the scores: 0.01 is one point of an
            accuracy in [0, 1]. 0 asks for exact equality, which only ties and the prior vote for.
        metric: which metric of a long table; None where it holds exactly one.
        num_samples: number of Monte-Carlo samples.
        seed: of the random numbers; the same seed gives the same probabilities.

    Returns:
        a `PosteriorOfPair`.

    Raises:
        AnalysisInputError: as `compare`; an unknown method, a negative rope, no samples.
    """
    _require_options(rope, num_samples, seed)
    table = score_table(scores, higher_is_better=higher_is_better, metric=metric)
    require_pair(table, first, second)
    weights = _dirichlet_weights(len(table), num_samples, seed)
    return _posterior(table, first, second, weights, higher_is_better=higher_is_better, rope=rope)


def bayesian_signed_rank_of_all_pairs(
    scores: pd.DataFrame,
    *,
    higher_is_better: bool,
    rope: float,
    metric: str | None = None,
    num_samples: int = 50_000,
    seed: int = 0,
) -> tuple[PosteriorOfPair, ...]:
    """Compare every pair of methods as `bayesian_signed_rank` does, with the same sample of weights for all.

    Each probability is about its own pair: "all of these hold together" is less probable.

    Returns:
        k(k-1)/2 records, in each the method with the better average rank first, in the order of average ranks.
    """
    _require_options(rope, num_samples, seed)
    table = score_table(scores, higher_is_better=higher_is_better, metric=metric)
    weights = _dirichlet_weights(len(table), num_samples, seed)
    return tuple(
        _posterior(table, first, second, weights, higher_is_better=higher_is_better, rope=rope)
        for first, second in ranked_pairs(table, higher_is_better=higher_is_better)
    )


def _dirichlet_weights(num_domains: int, num_samples: int, seed: int) -> Floats:
    """(num_samples, 1 + num_domains) weights that add up to 1 in each row; the pseudo-observation's come first."""
    concentration = np.concatenate([[PRIOR_STRENGTH], np.ones(num_domains)])
    return np.random.default_rng(seed).dirichlet(concentration, size=num_samples)


def _posterior(
    table: pd.DataFrame, first: str, second: str, weights: Floats, *, higher_is_better: bool, rope: float
) -> PosteriorOfPair:
    differences = np.concatenate([[0.0], advantages(table, first, second, higher_is_better=higher_is_better)])
    decimals = meaningful_decimals(table)
    sums = rounded(differences[:, None] + differences, decimals)
    limit = rounded(np.asarray(2.0 * rope), decimals)
    for_first, for_second = _share_of_votes(weights, sums > limit), _share_of_votes(weights, sums < -limit)
    winners = np.argmax([1 - for_first - for_second, for_first, for_second], axis=0)
    num_samples = len(weights)
    equivalent, first_is_better, second_is_better = np.bincount(winners, minlength=3) / num_samples
    return PosteriorOfPair(
        first=first,
        second=second,
        first_is_better=float(first_is_better),
        equivalent=float(equivalent),
        second_is_better=float(second_is_better),
        rope=float(rope),
        num_domains=len(table),
        num_samples=num_samples,
    )


def _share_of_votes(weights: Floats, counts: np.ndarray) -> Floats:
    """sum_ij w_i w_j [pair (i, j) counts] for each row of weights."""
    chosen = counts.astype(float)
    step = max(1, _CHUNK // weights.shape[1])
    parts = [weights[start : start + step] for start in range(0, len(weights), step)]
    return np.concatenate([np.einsum("si,si->s", part @ chosen, part) for part in parts])


def _standard_error(share: float, num_samples: int) -> float:
    smoothed = (share * num_samples + 1) / (num_samples + 2)
    return math.sqrt(smoothed * (1 - smoothed) / num_samples)


def require_rope(rope: float) -> None:
    """Raise OptionError unless it can be half the width of a region of practical equivalence."""
    if isinstance(rope, bool) or not isinstance(rope, (int, float, np.number)) or not 0 <= rope < math.inf:
        raise OptionError(f"rope: {shown(rope)}; allowed: a finite number of at least 0, in the unit of the scores")


def _require_options(rope: float, num_samples: int, seed: int) -> None:
    require_rope(rope)
    require_whole("num_samples", num_samples, at_least=1)
    require_whole("seed", seed, at_least=0)
