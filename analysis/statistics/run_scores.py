"""Scores of single runs over all domains at once: interquartile means and performance profiles.

After Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (arXiv 2108.13264),
sections 4.1 to 4.3. Both pool the runs of all domains, so domains must share a scale, as accuracies do; and seeds are
what intervals are over, not domains. They describe these domains, and test nothing about others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import trim_mean

from analysis.errors import AnalysisInputError, OptionError, shown
from analysis.options import require_share, require_whole
from analysis.results_table import domain_means, rows_of_metric

Floats = npt.NDArray[np.float64]


def interquartile_means(
    results: pd.DataFrame,
    *,
    metric: str | None = None,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """The mean of the middle half of a method's runs over all domains, which a few odd runs do not move.

    Args:
        results: long results table with the columns method, domain, seed, metric, value.
        metric: which metric; None where the table holds exactly one.
        level: of the intervals, in (0, 1).
        num_resamples: of the bootstrap, which draws seeds anew within every domain.
        seed: of these draws.

    Returns:
        DataFrame with the columns method, interquartile_mean, low, high, num_runs, in the order of the table; low and
        high are NaN where a method has a single seed.

    Raises:
        AnalysisInputError: as `compare`; domains of a method that differ in their number of seeds.
    """
    require_share("level", level)
    require_whole("num_resamples", num_resamples, at_least=1)
    generator = np.random.default_rng(seed)
    found = []
    for method, values in _by_method(results, metric).items():
        low, high = math.nan, math.nan
        if values.shape[1] > 1:
            means = _resampled(values, num_resamples, generator)
            low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2]).tolist()
        found.append((method, float(trim_mean(values, 0.25, axis=None)), low, high, values.size))
    return pd.DataFrame(found, columns=["method", "interquartile_mean", "low", "high", "num_runs"])


def performance_profiles(
    results: pd.DataFrame,
    *,
    higher_is_better: bool,
    metric: str | None = None,
    thresholds: Sequence[float] | None = None,
) -> pd.DataFrame:
    """For every threshold the share of a method's runs, over all domains, that are better than it.

    Args:
        results: as for `interquartile_means`.
        higher_is_better: direction of the scores.
        metric: which metric; None where the table holds exactly one.
        thresholds: rising; None for all scores that occur, at which the profiles step.

    Returns:
        DataFrame (thresholds, methods) of shares from 0 to 1.

    Raises:
        AnalysisInputError: as `interquartile_means`; OptionError for thresholds that do not rise.
    """
    scores = _by_method(results, metric)
    every = np.unique(np.concatenate([values.ravel() for values in scores.values()]))
    at = every if thresholds is None else np.asarray(thresholds, dtype=float)
    if at.ndim != 1 or not len(at) or not np.isfinite(at).all() or (np.diff(at) <= 0).any():
        raise OptionError(f"thresholds: {shown(thresholds)}; allowed: finite numbers that rise")
    sign = 1 if higher_is_better else -1
    shares = {method: (sign * values.ravel() > sign * at[:, None]).mean(axis=1) for method, values in scores.items()}
    return pd.DataFrame(shares, index=pd.Index(at, name="threshold"))


def _by_method(results: pd.DataFrame, metric: str | None) -> dict[str, Floats]:
    """Scores (domains, seeds) by method."""
    rows = rows_of_metric(results, metric)
    domain_means(rows)  # Refuses cells without a score.
    found = {}
    for method, own in rows.groupby("method", sort=False):
        cells = {str(domain): values.tolist() for domain, values in own.groupby("domain", sort=False)["value"]}
        sizes = {domain: len(values) for domain, values in cells.items()}
        least, most = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
        if sizes[least] < sizes[most]:
            raise AnalysisInputError(
                f"seeds: {method} has {sizes[least]} on {least} and {sizes[most]} on {most}; allowed: as many on each "
                "domain, so that all count alike"
            )
        found[str(method)] = np.array(list(cells.values()), dtype=float)
    return found


def _resampled(values: Floats, count: int, generator: np.random.Generator) -> Floats:
    """Interquartile means (count,) of runs drawn anew, with replacement, within every domain."""
    domains, seeds = values.shape
    drawn = generator.integers(seeds, size=(count, domains, seeds))
    runs = np.take_along_axis(np.broadcast_to(values, (count, domains, seeds)), drawn, axis=2)
    return np.asarray(trim_mean(runs.reshape(count, -1), 0.25, axis=1))
