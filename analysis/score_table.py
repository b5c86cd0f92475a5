"""Scores in any accepted form become the one form that is ranked: domains x methods, finite."""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np
import pandas as pd

from analysis.errors import (
    AnalysisInputError,
    DirectionError,
    DuplicateError,
    NotFiniteError,
    NotNumericError,
    OptionError,
    listing,
    shown,
)
from analysis.number_check import LARGEST, number_in
from analysis.results_table import domain_means, is_long, metric_direction, rows_of_metric
from analysis.rounding import tie_what_is_equal
from analysis.statistics.missing import Dropped, MissingPolicy, resolve_missing


def score_table(scores: pd.DataFrame, *, higher_is_better: bool, metric: str | None = None) -> pd.DataFrame:
    """Check scores and bring them into wide form, no cell missing.

    Args:
        scores: wide table (index = domains, columns = methods) or long results table (columns method, domain, seed,
            metric, value and, if there, higher_is_better).
        higher_is_better: the direction; a long table that says otherwise is an error.
        metric: the metric of a long table; None where it holds exactly one. Wide tables have none.

    Returns:
        DataFrame (num_domains >= 2, num_methods >= 2) of finite floats with strings as index and columns; scores of a
        domain that are equal but for rounding errors are equal.

    Raises:
        AnalysisInputError: one of its subclasses, by what is wrong.
    """
    return score_table_without(scores, higher_is_better=higher_is_better, metric=metric, missing="error")[0]


def score_table_without(
    scores: pd.DataFrame, *, higher_is_better: bool, metric: str | None = None, missing: MissingPolicy
) -> tuple[pd.DataFrame, tuple[Dropped, ...]]:
    """Check scores and bring them into wide form, missing cells dealt with as `resolve_missing` says.

    Returns:
        the table as `score_table` returns it, with NaN for gaps if the policy keeps them, and what was dropped.

    Raises:
        AnalysisInputError: one of its subclasses, by what is wrong.
    """
    allowed = missing != "error"
    wide = _with_gaps(scores, higher_is_better=higher_is_better, metric=metric, allow_missing=allowed)
    return resolve_missing(tie_what_is_equal(wide), missing)


def _with_gaps(
    scores: pd.DataFrame, *, higher_is_better: bool, metric: str | None, allow_missing: bool
) -> pd.DataFrame:
    if not isinstance(scores, pd.DataFrame):
        raise AnalysisInputError(f"scores: {type(scores).__name__}; allowed: a pandas DataFrame, wide or long")
    if not isinstance(higher_is_better, (bool, np.bool_)):
        raise OptionError(f"higher_is_better: {higher_is_better!r}; allowed: True, False")
    if is_long(scores):
        rows = rows_of_metric(scores, metric, allow_missing=allow_missing)
        if "higher_is_better" in rows.columns and metric_direction(rows) != bool(higher_is_better):
            raise DirectionError(
                f"higher_is_better: {bool(higher_is_better)} was asked for, but the table says "
                f"{not higher_is_better}; allowed: the table's own direction"
            )
        return domain_means(rows, allow_missing=True)
    if metric is not None:
        raise OptionError(f"metric: {metric!r} with a wide table; allowed: None, since a wide table names no metric")
    return checked_wide(scores)


def checked_wide(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a wide table as floats with strings as index and columns, NaN where a cell is empty.

    Raises:
        DuplicateError, NotNumericError, NotFiniteError: see their names.
    """
    wide = scores.copy()
    wide.columns = pd.Index([str(name) for name in scores.columns], dtype=object)
    wide.index = pd.Index([str(name) for name in scores.index], dtype=object)
    for what, names in (("methods", wide.columns), ("domains", wide.index)):
        twice = names[names.duplicated()].unique()
        if len(twice) > 0:
            raise DuplicateError(f"{what}: {listing(twice)} more than once; allowed: once each")
    for method in wide.columns:
        for domain, value in wide[method].items():
            _require_number(value, method, domain)
    return wide.where(wide.notna(), np.nan).astype(float)


def _require_number(value: object, method: Hashable, domain: Hashable) -> None:
    if value is None or value is pd.NA:
        return
    number = number_in(value)
    if number is None:
        raise NotNumericError(f"scores: {shown(value)} in cell ({method}, {domain}); allowed: numbers")
    if math.isinf(number):
        raise NotFiniteError(
            f"scores: {shown(value)} in cell ({method}, {domain}); allowed: finite numbers up to {LARGEST:g}"
        )
