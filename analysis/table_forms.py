"""Tables of results as people have them, in the form that sweeps write: short ones filled up, wide ones made long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import ColumnsError, DirectionError, DuplicateError, listing

ONLY_SEED = 0
UNNAMED = "score"
"""The metric of a table that names none."""


def is_wide(columns: list[str]) -> bool:
    """Whether these columns are methods, not parts of a long table's rows."""
    return not {"method", "value"} & {*columns}


def read_texts(path: Path) -> pd.DataFrame:
    """All cells as they are written, under the names of the first line; raises what `pandas.read_csv` raises."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def read_wide_csv(path: Path) -> pd.DataFrame:
    """The cells of a wide table as texts, None for the empty ones; raises what `pandas.read_csv` raises."""
    # With a header pandas would rename a method that occurs twice.
    cells = pd.read_csv(path, header=None, dtype=str, keep_default_na=False)
    body = cells.iloc[1:].set_axis(cells.iloc[0].tolist(), axis=1)
    names, scores = body.iloc[:, :1], body.iloc[:, 1:]
    return pd.concat([names, scores.where(~scores.isin(["", "nan", "NaN", "NA"]), None)], axis=1)


def as_long(wide: pd.DataFrame) -> pd.DataFrame:
    """The long table (method, domain, value) of a wide one, which has a row per data set, its name first, and a column
    per method.

    An index of names may take the place of the first column. Cells that are empty have no row.

    Raises:
        ColumnsError: a data set or a method without any score.
        DuplicateError: a method or a data set that occurs twice.
    """
    has_names = not isinstance(wide.index, pd.RangeIndex)
    if has_names and all(pd.api.types.is_numeric_dtype(kind) for kind in wide.dtypes):
        wide = wide.reset_index()
    if wide.shape[1] < 2:
        raise ColumnsError(f"columns: {listing(wide.columns) or 'none'}; allowed: one of data sets, and one per method")
    domains, methods = [str(name) for name in wide.iloc[:, 0]], [str(name) for name in wide.columns[1:]]
    scores = wide.iloc[:, 1:].set_axis(methods, axis=1).set_axis(domains, axis=0)
    for what, names in (("methods", scores.columns), ("domains", scores.index)):
        if len(twice := names[names.duplicated()].unique()):
            hint = "" if what == "methods" else ", or a long table with the columns method, domain, value"
            raise DuplicateError(f"{what}: {listing(twice)} more than once; allowed: once each{hint}")
    for what, axis in (("method", 0), ("domain", 1)):
        empty = scores.isna().all(axis=axis)  # type: ignore[call-overload]
        if empty.any():
            raise ColumnsError(f"{what}: {listing(empty[empty].index)} without a score; allowed: one at least")
    rows = [
        (method, domain, value if (number := _number(value)) is None else number)
        for domain, row in zip(domains, scores.itertuples(index=False), strict=True)
        for method, value in zip(methods, row, strict=True)
        if not pd.isna(value)
    ]
    return pd.DataFrame(rows, columns=["method", "domain", "value"])


def filled_up(table: pd.DataFrame, *, metric: str | None, higher_is_better: bool | None) -> pd.DataFrame:
    """A long table with the columns seed, metric and higher_is_better that it may lack: one seed, one metric.

    Args:
        table: long table.
        metric: name of the metric where the table names none.
        higher_is_better: the direction; None where the table says it.

    Raises:
        ColumnsError: neither says the direction.
        DirectionError: the table says another one.
    """
    given: dict[str, Any] = {"seed": ONLY_SEED, "metric": metric or UNNAMED}
    table = table.assign(**{name: value for name, value in given.items() if name not in table.columns})
    if "higher_is_better" not in table.columns:
        if higher_is_better is None:
            raise ColumnsError(
                "higher_is_better: the table has no such column; allowed: that column, or one of --higher-is-better "
                "and --lower-is-better"
            )
        return table.assign(higher_is_better=higher_is_better)
    rows = table if metric is None else table[table["metric"].astype(str) == metric]
    if higher_is_better is not None and any(
        str(value).lower() == str(not higher_is_better).lower() for value in rows["higher_is_better"].unique()
    ):
        raise DirectionError(
            f"higher_is_better: {higher_is_better} was asked for, but the table says {not higher_is_better}; allowed: "
            "the table's own direction"
        )
    return table


def _number(value: object) -> float | None:
    """A cell's number; None for what is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
