"""Long tables under names of their own: a column of methods, one of data sets and one of scores, in any order."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from analysis.errors import ColumnsError, listing

OURS = ("method", "domain", "value")
_METHODS = frozenset({"method", "algorithm", "algo", "approach", "model", "learner", "classifier", "system"})
_DOMAINS = frozenset({"domain", "dataset", "data", "task", "benchmark", "problem", "target"})
_SCORES = frozenset({"value", "score", "result"})
_GAPS = ("", "nan", "NaN", "NA")


def with_our_names(cells: pd.DataFrame, others: frozenset[str]) -> pd.DataFrame | None:
    """A long table of three columns with our names for them, None for any other table.

    One of the three holds scores, the other two hold no number at all. Which of these two holds methods is told by
    their names (algorithm, model, ... or data set, task, ...). A column of scores that is not called value, score or
    result names the metric.

    Args:
        cells: texts or numbers, as they were read.
        others: columns of ours that may stand beside the three.

    Raises:
        ColumnsError: two columns of names, and nothing says which of them holds methods.
    """
    own = [str(column) for column in cells.columns if str(column) not in others]
    if len(own) != len(set(own)) or len(own) != 3 or set(own) == {*OURS}:
        return None
    table = cells.set_axis([str(column) for column in cells.columns], axis=1)
    named = [column for column in own if _holds_names(table[column])]
    scores = [column for column in own if column not in named]
    if len(named) != 2 or not pd.to_numeric(table[scores[0]], errors="coerce").notna().any():
        return None
    method = _which_holds_methods(named)
    (domain,) = (column for column in named if column != method)
    values = table[scores[0]]
    numbers = pd.to_numeric(values, errors="coerce")
    # What is neither a number nor a gap stays, for whoever reads the numbers to name its row.
    table[scores[0]] = numbers.astype(object).where(numbers.notna() | values.isin(_GAPS), values)
    if _plain(scores[0]) not in _SCORES and "metric" not in others & {*table.columns}:
        table["metric"] = scores[0]
    return table.rename(columns={method: "method", domain: "domain", scores[0]: "value"})


def _holds_names(column: pd.Series[Any]) -> bool:
    """Whether every cell is a text that is no number."""
    texts = column.map(lambda cell: isinstance(cell, str) and cell != "")
    return bool(texts.all()) and not pd.to_numeric(column, errors="coerce").notna().any()


def _which_holds_methods(named: list[str]) -> str:
    methods = [column for column in named if _plain(column) in _METHODS]
    domains = [column for column in named if _plain(column) in _DOMAINS]
    if len(methods) == 1:
        return methods[0]
    if len(domains) == 1:
        return next(column for column in named if column != domains[0])
    raise ColumnsError(
        f"columns: {listing(named)}; which of the two names methods is not clear; allowed: method, domain, value"
    )


def _plain(name: str) -> str:
    """`Data sets` as `dataset`."""
    return re.sub(r"[^a-z]", "", name.lower()).removesuffix("s")
