"""Mean training curves: the best score so far against what was spent, over domains and seeds, with a band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.curves_table import COSTS, checked_curves
from analysis.errors import OptionError
from analysis.options import require_share

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanCurve:
    """One method's mean best score against a cost. Made by `mean_curves`; straight between two costs."""

    method: str
    cost: Floats
    """(n,) ascending: all costs at which a run of the method was evaluated, within the range that all runs cover."""
    mean: Floats
    """(n,) over domains of the means over seeds."""
    low: Floats | None
    """(n,) end of the band; None for a single domain."""
    high: Floats | None
    num_domains: int
    num_runs: int


def mean_curves(
    curves: pd.DataFrame, *, cost: str, relative_to: str | None = None, confidence: float = 0.95
) -> dict[str, MeanCurve]:
    """Average best scores so far over seeds, then over domains, at equal cost.

    Runs are evaluated at different costs. Between two evaluations a run's best score lies on the straight line, as
    for `time_to_score`. Curves are read off at all costs that occur, from the latest first evaluation of a method's
    runs to their earliest last one. Beyond that range a mean would be over other runs than within it.

    Args:
        curves: one row per evaluation (see `checked_curves`).
        cost: instances_seen (images) or wall_seconds (seconds).
        relative_to: None for a band over the domains' scores. The name of a method for a band over the domains'
            differences to the last scores of that method, around the same mean: domains that are easy or hard for
            every method then widen no band. Domains without that method count with their own last scores.
        confidence: of the band, between 0 and 1; Student's t over domains, at each cost by itself.

    Returns:
        method -> its mean curve, in order of first appearance. A method whose runs share no range is left out.

    Raises:
        OptionError: another cost, or a method that has no rows.
        AnalysisInputError: as `checked_curves`.
    """
    if cost not in COSTS:
        raise OptionError(f"cost: {cost!r}; allowed: {', '.join(COSTS)}")
    require_share("confidence", confidence)
    table = checked_curves(curves).sort_values(cost, kind="stable")
    if relative_to is not None and relative_to not in set(table["method"]):
        raise OptionError(f"relative_to: {relative_to!r} has no rows; allowed: one of the methods, or None")
    levels = {} if relative_to is None else final_scores(table, relative_to)
    methods = list(dict.fromkeys(curves["method"].astype(str)))
    found = {method: _mean_curve(table[table["method"] == method], cost, levels, confidence) for method in methods}
    return {method: curve for method, curve in found.items() if curve is not None}


def final_scores(curves: pd.DataFrame, method: str) -> dict[str, float]:
    """Return domain -> the mean over seeds of a method's last best_value, from a checked table."""
    own = curves[curves["method"] == method].sort_values("instances_seen", kind="stable")
    last = own.groupby(["domain", "seed"], sort=False)["best_value"].last()
    return {str(domain): float(value) for domain, value in last.groupby(level="domain", sort=False).mean().items()}


def _mean_curve(own: pd.DataFrame, cost: str, levels: dict[str, float], confidence: float) -> MeanCurve | None:
    runs = [
        (str(domain), run[cost].to_numpy(dtype=float), run["best_value"].to_numpy(dtype=float))
        for (domain, _), run in own.groupby(["domain", "seed"], sort=False)
    ]
    start, end = max(x[0] for _, x, _ in runs), min(x[-1] for _, x, _ in runs)
    if start > end:
        return None
    grid = np.unique(np.concatenate([x[(x >= start) & (x <= end)] for _, x, _ in runs]))
    by_domain: dict[str, list[Floats]] = {}
    for domain, x, y in runs:
        by_domain.setdefault(domain, []).append(np.interp(grid, x, y))
    means = np.array([np.mean(values, axis=0) for values in by_domain.values()])
    low, high = None, None
    count = len(means)
    if count > 1:
        shifts = np.array([levels.get(domain, float(means[i, -1])) for i, domain in enumerate(by_domain)])
        spread = (means - shifts[:, None] if levels else means).std(axis=0, ddof=1)
        half = float(stats.t.isf((1 - confidence) / 2, count - 1)) * spread / np.sqrt(count)
        low, high = means.mean(axis=0) - half, means.mean(axis=0) + half
    return MeanCurve(
        method=str(own["method"].iloc[0]),
        cost=grid,
        mean=means.mean(axis=0),
        low=low,
        high=high,
        num_domains=count,
        num_runs=len(runs),
    )
