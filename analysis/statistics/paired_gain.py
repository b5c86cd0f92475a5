"""By how much is a method better than the baseline, and how sure is that over the domains?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from analysis.errors import MissingCellsError, OptionError, listing, shown
from analysis.options import require_share
from analysis.results_table import rows_of_metric
from analysis.rounding import ROUNDING, mean_of


@dataclass(frozen=True, kw_only=True, eq=False)
class PairedGain:
    """One method's gain over the baseline, positive where the method is better. Made by `paired_gain`."""

    method: str
    baseline: str
    by_domain: pd.Series[float]
    """(N,) by domain: the mean over seeds of the paired gain, in the scores' own unit."""
    mean: float
    """Over domains."""
    low: float | None
    """End of the t interval over domains; None for a single domain."""
    high: float | None
    p_value: float | None
    """Two-sided, of the paired t-test over domains; None for a single domain."""
    confidence: float
    num_seeds: int
    """The largest number of seeds that both completed on a domain."""

    @property
    def num_domains(self) -> int:
        """Number of domains on which both were run."""
        return len(self.by_domain)

    @property
    def num_better(self) -> int:
        """Number of domains on which the method is better."""
        return int((self.by_domain > 0).sum())

    @property
    def num_worse(self) -> int:
        """Number of domains on which the method is worse."""
        return int((self.by_domain < 0).sum())


def paired_gain(
    results: pd.DataFrame,
    *,
    method: str,
    baseline: str,
    higher_is_better: bool,
    metric: str | None = None,
    confidence: float = 0.95,
) -> PairedGain:
    """Compare a method with the baseline on the domains and seeds that both completed.

    The scores of a domain and a seed are paired; a domain's gain is the mean over its seeds, and the interval and the
    test are Student's over domains. Seeds are repeats of one measurement and never count as domains. The interval
    supposes that domains' gains are drawn independently from one normal distribution.

    Args:
        results: long results table.
        method: whose gain.
        baseline: over whom.
        higher_is_better: direction of the scores.
        metric: which metric; None where the table holds exactly one.
        confidence: of the interval, between 0 and 1.

    Raises:
        OptionError: a method that is not in the table, or `higher_is_better` is no truth value.
        MissingCellsError: the two have no domain and seed in common.
        AnalysisInputError: as `compare`, but for missing cells.
    """
    require_share("confidence", confidence)
    if not isinstance(higher_is_better, (bool, np.bool_)):
        raise OptionError(f"higher_is_better: {shown(higher_is_better)}; allowed: True, False")
    rows = rows_of_metric(results, metric)
    methods = list(dict.fromkeys(rows["method"]))
    for field, name in (("method", method), ("baseline", baseline)):
        if name not in methods:
            raise OptionError(f"{field}: {name!r} is not in the table; allowed: {listing(methods)}")
    theirs, ours = (
        rows[rows["method"] == name].set_index(["domain", "seed"])["value"].astype(float) for name in (baseline, method)
    )
    pairs = pd.DataFrame({"ours": ours, "theirs": theirs.reindex(ours.index)}).dropna()
    if pairs.empty:
        raise MissingCellsError(f"scores: {method} and {baseline} share no domain and seed; allowed: at least one")
    difference = pairs["ours"] - pairs["theirs"]
    # 0.3 - 0.2 and 0.2 - 0.1 are alike, and so is what differs by rounding only.
    slack = ROUNDING * np.maximum(pairs["ours"].abs(), pairs["theirs"].abs())
    difference = difference.where(difference.abs() > slack, 0.0) * (1 if higher_is_better else -1)
    grouped = difference.groupby(level="domain", sort=False)
    by_domain = grouped.agg(lambda values: mean_of(values.tolist()))
    mean = mean_of(by_domain.tolist())
    low, high, p_value = _student(by_domain, mean, confidence)
    return PairedGain(
        method=method,
        baseline=baseline,
        by_domain=by_domain,
        mean=mean,
        low=low,
        high=high,
        p_value=p_value,
        confidence=confidence,
        num_seeds=int(grouped.size().max()),
    )


def _student(
    gains: pd.Series[float], mean: float, confidence: float
) -> tuple[float | None, float | None, float | None]:
    """Low, high and two-sided p-value of the mean; all None for a single gain."""
    count = len(gains)
    if count < 2:
        return None, None, None
    error = float(gains.std()) / math.sqrt(count)
    if error <= ROUNDING * abs(mean):
        # All domains gain alike: no spread to measure anything with.
        return mean, mean, 1.0 if mean == 0 else 0.0
    half = float(stats.t.isf((1 - confidence) / 2, count - 1)) * error
    return mean - half, mean + half, 2 * float(stats.t.sf(abs(mean) / error, count - 1))
