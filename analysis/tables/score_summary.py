"""Scores over seeds: mean and standard deviation of every method on every domain, as published tables give them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.errors import MetricError, listing

COLUMNS = ("method", "domain", "mean", "standard_deviation", "num_seeds")


def summarise(results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean and standard deviation over seeds of one metric.

    Args:
        results: a long results table (see `read_results`).
        metric: which of its metrics.

    Returns:
        DataFrame with the columns `COLUMNS`, methods and domains in the order of their first rows. The standard
        deviation is that of a sample (n - 1), NaN for a single seed.

    Raises:
        MetricError: the table has no rows of that metric.
    """
    rows = results[results["metric"] == metric]
    if rows.empty:
        raise MetricError(f"metric: {metric!r}; allowed: {listing(sorted(set(results['metric'])))}")
    # In units of a power of two, exact: squares of very large or very small scores are no floats.
    keys = ["method", "domain"]
    largest = rows.assign(value=rows["value"].abs()).groupby(keys, sort=False)["value"].transform("max")
    unit = np.exp2(np.frexp(largest.to_numpy(dtype=float))[1] - 1.0)
    grouped = rows.assign(value=rows["value"] / unit, unit=unit).groupby(keys, sort=False)
    summary = grouped["value"].agg(mean="mean", standard_deviation="std", num_seeds="count")
    units = grouped["unit"].first()
    for column in ("mean", "standard_deviation"):
        summary[column] = summary[column] * units
    table: pd.DataFrame = summary.reset_index()[list(COLUMNS)]
    return table


def order_of(summary: pd.DataFrame, domain: str, methods: Sequence[str], *, higher_is_better: bool) -> list[str]:
    """The methods that were measured on the domain, the best mean first."""
    own = summary[(summary["domain"] == domain) & summary["method"].isin(methods)]
    return own.sort_values("mean", ascending=not higher_is_better, kind="stable")["method"].tolist()
