"""How much sooner does a method reach the score that the baseline has after its whole budget?"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.curves_table import COSTS, RUN, checked_curves, require_method
from analysis.errors import OptionError, shown
from analysis.rounding import ROUNDING
from analysis.statistics.median_interval import median_interval

KINDS = {"seconds": "wall_seconds", "images": "instances_seen"}
"""What a ratio is of -> the column of the curves."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeToScore:
    """When each run reached the level that the baseline ended at. Made by `time_to_score`."""

    baseline: str
    runs: pd.DataFrame
    """A row a run: method, domain, seed, level (the score to reach), reached (bool), seconds and images when its
    best score so far was as good (infinite where it never was), and seconds_ratio and images_ratio: the baseline's
    whole seconds and images on that domain and seed divided by them (2.4 is "2.4 times sooner"; 0 where not
    reached)."""
    summary: pd.DataFrame
    """A row a method (index), the baseline among them: num_runs, num_reached, share_reached (0 to 1), num_domains, and
    for seconds and images the median ratio with its interval: seconds_ratio, seconds_low, seconds_high, images_ratio,
    images_low, images_high. A ratio of 0 means that half of the domains or more were not reached. Ends are NaN where
    so few domains (up to 5) allow no interval."""
    without_baseline: tuple[tuple[str, str, str], ...]
    """Runs (method, domain, seed) that are in neither table, as the baseline has no run on that domain and seed."""


def time_to_score(
    curves: pd.DataFrame, *, baseline: str, higher_is_better: bool, confidence: float = 0.95
) -> TimeToScore:
    """Find where every run first reaches the baseline's final best score.

    On each domain and seed the level is the baseline's last best_value. A run reaches it where the straight line
    between its rows does, and at its first row where that one is as good already. Evaluations are few, and between two
    of them accuracy rises fast at first, so that the line reaches a level late rather than early. The ratio divides
    what the baseline spent in all by what the run had spent there. The baseline is compared with itself, too: its own
    ratio says how long before its end it had its best score, and a method that is no better should come out near it.

    Seeds are repeats: a domain's time is the median over its seeds, and medians and intervals are over domains. A run
    that never reaches the level counts as infinite time. Medians are taken of times, relative to the baseline's whole
    budget, and then turned into ratios. For the interval see `median_interval`.

    Args:
        curves: one row per evaluation (see `checked_curves`).
        baseline: name of the method whose final score is to be reached.
        higher_is_better: direction of best_value.
        confidence: of the intervals, between 0 and 1.

    Raises:
        OptionError: the baseline has no rows, spent nothing, or `higher_is_better` is no truth value.
        AnalysisInputError: as `checked_curves`.
    """
    if not isinstance(higher_is_better, (bool, np.bool_)):
        raise OptionError(f"higher_is_better: {shown(higher_is_better)}; allowed: True, False")
    table = checked_curves(curves)
    require_method(table, baseline)
    sign = 1.0 if higher_is_better else -1.0
    budgets = _budgets(table, baseline)
    rows: list[dict[str, Any]] = []
    left_out: list[tuple[str, str, str]] = []
    for (method, domain, seed), own in table.groupby(list(RUN), sort=False):
        budget = budgets.get((domain, seed))
        if budget is None:
            left_out.append((str(method), str(domain), str(seed)))
        else:
            rows.append({"method": method, "domain": domain, "seed": seed, **_run(own, budget, sign)})
    runs = pd.DataFrame(rows)
    summary = pd.DataFrame(
        {method: _summary(own, confidence) for method, own in runs.groupby("method", sort=False)}
    ).T.astype({"num_runs": int, "num_reached": int, "num_domains": int})
    return TimeToScore(baseline=baseline, runs=runs, summary=summary, without_baseline=tuple(left_out))


def _budgets(table: pd.DataFrame, baseline: str) -> dict[tuple[Hashable, Hashable], pd.Series[Any]]:
    """(domain, seed) -> the last row of the baseline."""
    budgets = {}
    for (domain, seed), own in table[table["method"] == baseline].groupby(["domain", "seed"], sort=False):
        last = own.iloc[-1]
        for cost in COSTS:
            if not last[cost] > 0:
                raise OptionError(f"{cost}: {last[cost]:g} in all for {baseline!r} on {domain}; allowed: more than 0")
        budgets[domain, seed] = last
    return budgets


def _run(own: pd.DataFrame, budget: pd.Series[Any], sign: float) -> dict[str, Any]:
    level = float(budget["best_value"])
    # Equal but for rounding is reached.
    there = sign * own["best_value"] >= sign * level - ROUNDING * abs(level)
    found: dict[str, Any] = {"level": level, "reached": bool(there.any())}
    for kind, cost in KINDS.items():
        spent = _spent(own[cost].to_numpy(), own["best_value"].to_numpy(), there.to_numpy(), level)
        found |= {kind: spent, f"{kind}_ratio": _inverted(spent / float(budget[cost]))}
    return found


def _spent(costs: NDArray[np.float64], best: NDArray[np.float64], there: NDArray[np.bool_], level: float) -> float:
    """What a run had spent when the line between its rows reached the level."""
    if not there.any():
        return math.inf
    row = int(there.argmax())
    if row == 0:
        return float(costs[0])
    share = min(1.0, (level - best[row - 1]) / (best[row] - best[row - 1]))
    return float(costs[row - 1] + share * (costs[row] - costs[row - 1]))


def _summary(own: pd.DataFrame, confidence: float) -> dict[str, float]:
    found: dict[str, float] = {
        "num_runs": len(own),
        "num_reached": int(own["reached"].sum()),
        "share_reached": float(own["reached"].mean()),
        "num_domains": own["domain"].nunique(),
    }
    for kind in KINDS:
        times = own[f"{kind}_ratio"].map(_inverted)
        by_domain = [median_interval(values).median for _, values in times.groupby(own["domain"], sort=False)]
        median, low, high = median_interval(by_domain, confidence=confidence)
        # The longest time is the lowest ratio.
        found[f"{kind}_ratio"] = _inverted(median)
        found[f"{kind}_low"] = math.nan if high is None else _inverted(high)
        found[f"{kind}_high"] = math.nan if low is None else _inverted(low)
    return found


def _inverted(value: float) -> float:
    """1 / value, where 0 and infinity are each other's."""
    if value == 0:
        return math.inf
    return 1 / value
