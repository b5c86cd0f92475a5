"""Which hyper-parameters mattered: how much of the trials' spread each of them explains by itself.

What is measured is the correlation ratio eta^2 of a one-way analysis of variance, between the groups of trials that
share a value (or a quarter of the range) of one parameter:

    eta^2 = sum_g n_g (mean_g - mean)^2 / sum_i (y_i - mean)^2.

Chance alone makes it positive: over all ways to deal the same scores out to the trials its mean is (L - 1) / (n - 1)
for L groups of n trials, exactly. So a parameter's importance is what exceeds that, as a share of what could exceed it
(epsilon^2 of Kelley 1935, PNAS 21:554), and a permutation test says how often chance alone does as well.

Limits. Main effects only: a parameter that matters only together with another one shows nothing. Parameters that
varied together, as a search that learns makes them vary, share their effects. And groups must be crossed about evenly
for the shares to add up to at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.errors import (
    ColumnsError,
    ConstantScoresError,
    MetricError,
    NotFiniteError,
    NotNumericError,
    TooFewError,
    listing,
    shown,
)
from analysis.options import require_share, require_whole
from analysis.statistics.holm import holm

Floats = npt.NDArray[np.float64]

NOT_PARAMETERS = frozenset(
    {
        *("trial", "state", "method", "domain", "seed", "value", "measure", "run", "git_revision", "reason"),
        *("validation_score", "test_score", "validation_accuracy", "test_accuracy", "planted_auroc"),
        *("wall_seconds", "instances_seen", "target_instances_seen", "cpus", "gpus", "kept_fraction", "epoch"),
    }
)
"""Columns of a sweep's trials.csv that say how a trial went, not how it was set up."""

_FEWEST_TRIALS = 8
_PERMUTATION_BLOCK = 4_000_000
"""Numbers held at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Importance:
    """What `parameter_importance` found."""

    table: pd.DataFrame
    """Index: parameters, the most important first. Columns: share (eta^2, 0 to 1), chance (its mean under chance),
    excess (importance; may be slightly negative), p_value (of the permutation test of this parameter), p_holm (the same
    adjusted for the number of parameters), num_levels (groups), num_trials (settings that have the parameter)."""
    num_settings: int
    """Different settings compared; trials that differ in their seed alone are averaged."""
    num_trials: int
    """Complete trials with a value."""
    num_left_out: int
    """Trials that were pruned, failed or are running, have no value, or have none of the parameters."""
    constant: tuple[str, ...]
    """Parameters that never varied, about which nothing can be said."""
    value: str
    """The column explained."""
    alpha: float


def parameter_importance(
    trials: pd.DataFrame,
    *,
    value: str = "value",
    parameters: Sequence[str] | None = None,
    num_bins: int = 4,
    num_permutations: int = 10_000,
    alpha: float = 0.05,
    seed: int = 0,
) -> Importance:
    """Estimate how much each hyper-parameter matters by itself (see the head of this file for how, and its limits).

    Only complete trials count: a pruned trial's score is no final one. A parameter that is empty in some trials, as one
    that depends on another is, is judged on the trials that have it.

    Args:
        trials: table of trials such as a sweep's trials.csv, with a column `state` ("complete" and others; absent: all
            are complete), one column a parameter, and the value.
        value: the column to explain.
        parameters: the columns to judge; None: all but `NOT_PARAMETERS`. Trials that agree in all of those columns are
            repeats of one setting.
        num_bins: numeric parameters with more values than that are cut at quantiles into so many groups.
        num_permutations: of the test; its smallest p-value is 1 / (1 + num_permutations).
        alpha: level, of all parameters together, below which a figure calls an importance shown.
        seed: of the permutations.

    Returns:
        an `Importance`.

    Raises:
        ColumnsError: a column is absent, or there are no parameters.
        NotNumericError, NotFiniteError: values of complete trials that are no finite numbers.
        MetricError: trials of several domains, whose scores cannot be compared.
        TooFewError: fewer than 8 settings, or no parameter that varies.
        ConstantScoresError: all values are equal.
        OptionError: an argument outside its range.
    """
    require_whole("num_bins", num_bins, at_least=2)
    require_whole("num_permutations", num_permutations, at_least=99)
    require_share("alpha", alpha)
    names = _parameters(trials, value, parameters)
    complete = _complete(trials, value, names)
    # What is not asked about still tells settings apart.
    setup = list(dict.fromkeys([*names, *_not_results(trials, value)]))
    settings = complete.groupby(setup, dropna=False, sort=False)[value].mean().reset_index()
    if len(settings) < _FEWEST_TRIALS:
        raise TooFewError(
            f"trials: {len(settings)} different settings in {len(complete)} complete trials; "
            f"allowed: at least {_FEWEST_TRIALS}"
        )
    generator = np.random.default_rng(seed)
    rows, constant = {}, []
    for name in names:
        present = settings[settings[name].notna()]
        levels = _levels(present[name], num_bins)
        num_levels = int(levels.max()) + 1 if len(levels) > 0 else 0
        scores = present[value].to_numpy(dtype=float)
        if num_levels < 2 or len(present) < _FEWEST_TRIALS or np.ptp(scores) == 0:
            constant.append(name)
            continue
        share = float(correlation_ratio(scores[None], levels)[0])
        chance = (num_levels - 1) / (len(scores) - 1)
        rows[name] = {
            "share": share,
            "chance": chance,
            "excess": (share - chance) / (1 - chance) if chance < 1 else math.nan,
            "p_value": _p_value(scores, levels, share, num_permutations, generator),
            "num_levels": num_levels,
            "num_trials": len(scores),
        }
    if not rows:
        if settings[value].nunique() == 1:
            raise ConstantScoresError(
                f"{value}: {shown(settings[value].iloc[0])} in all settings; allowed: differences"
            )
        raise TooFewError(f"parameters: none of {listing(names)} varies; allowed: at least one that does")
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")
    table.insert(4, "p_holm", holm(table["p_value"].to_numpy()))
    order = sorted(table.index, key=lambda name: (-rows[name]["excess"], name))
    return Importance(
        table=table.loc[order].astype({"num_levels": int, "num_trials": int}),
        num_settings=len(settings),
        num_trials=len(complete),
        num_left_out=len(trials) - len(complete),
        constant=tuple(constant),
        value=value,
        alpha=float(alpha),
    )


def correlation_ratio(scores: Floats, levels: npt.NDArray[np.int64]) -> Floats:
    """Return eta^2 of every row of scores.

    Args:
        scores: (m, n), no row constant.
        levels: (n,) the group of each column, 0 to L - 1, none empty.

    Returns:
        (m,), between 0 and 1.
    """
    members = np.eye(int(levels.max()) + 1)[levels]
    centred = scores - scores.mean(axis=1, keepdims=True)
    between = np.square(centred @ members) @ (1 / members.sum(axis=0))
    total = np.square(centred).sum(axis=1)
    return np.asarray(np.clip(between / total, 0, 1))


def _p_value(
    scores: Floats, levels: npt.NDArray[np.int64], share: float, num_permutations: int, generator: np.random.Generator
) -> float:
    """How often scores that are dealt out by chance do as well; the observed deal counts as one of them."""
    at_once = max(1, _PERMUTATION_BLOCK // len(scores))
    as_large = 0
    for start in range(0, num_permutations, at_once):
        rows = min(at_once, num_permutations - start)
        shuffled = generator.permuted(np.tile(scores, (rows, 1)), axis=1)
        as_large += int((correlation_ratio(shuffled, levels) >= share * (1 - 1e-12)).sum())
    return (1 + as_large) / (1 + num_permutations)


def _levels(column: pd.Series[Any], num_bins: int) -> npt.NDArray[np.int64]:
    """(n,) the group of each trial, counted from 0 without gaps."""
    numeric = pd.to_numeric(column, errors="coerce")
    is_numeric = not pd.api.types.is_bool_dtype(column) and not numeric.isna().any()
    if is_numeric and numeric.nunique() > num_bins:
        # Quantiles of ranks: the same for a parameter and its logarithm, and equal values stay together.
        groups = pd.qcut(numeric, num_bins, labels=False, duplicates="drop")
    else:
        groups = pd.Series(pd.factorize(column.astype(str), sort=True)[0])
    return np.asarray(np.unique(groups.to_numpy(), return_inverse=True)[1], dtype=np.int64)


def _parameters(trials: pd.DataFrame, value: str, wanted: Sequence[str] | None) -> list[str]:
    columns = list(trials.columns)
    names = _not_results(trials, value) if wanted is None else list(wanted)
    absent = [name for name in (value, *names) if name not in columns]
    if absent:
        raise ColumnsError(f"trials: columns {listing(absent)} absent; present: {listing(columns) or 'none'}")
    if value in names or len(set(names)) < len(names) or not names:
        raise ColumnsError(
            f"parameters: {listing(names) or 'none'}; allowed: at least one column, each once, but {value}"
        )
    return names


def _not_results(trials: pd.DataFrame, value: str) -> list[str]:
    return [column for column in trials.columns if column not in NOT_PARAMETERS and column != value]


def _complete(trials: pd.DataFrame, value: str, names: list[str]) -> pd.DataFrame:
    is_complete = trials[names].notna().any(axis=1)
    if "state" in trials.columns:
        is_complete &= trials["state"].astype(str) == "complete"
    rows = trials[is_complete & trials[value].notna()]
    if "domain" in rows.columns and rows["domain"].dropna().nunique() > 1:
        raise MetricError(
            f"domain: {listing(sorted(map(str, rows['domain'].dropna().unique())))}; allowed: trials of one domain"
        )
    converted = pd.to_numeric(rows[value], errors="coerce").astype(float)
    for wrong, error, allowed in (
        (converted.isna(), NotNumericError, "numbers"),
        (~np.isfinite(converted), NotFiniteError, "finite numbers"),
    ):
        if wrong.any():
            where = rows.index[np.asarray(wrong)][0]
            raise error(f"{value}: {shown(rows.loc[where, value])} in row {where}; allowed: {allowed}")
    return rows.assign(**{value: converted})
