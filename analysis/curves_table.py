"""The table of training curves that a sweep at an equal budget leaves behind: one row per evaluation of each run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.errors import AnalysisInputError, ColumnsError, OptionError, ResultsFileError, listing, shown
from analysis.results_table import numbers

COLUMNS = (
    "method",
    "domain",
    "seed",
    "instances_seen",
    "wall_seconds",
    "value",
    "best_value",
    "kept_fraction",
    "budget_share",
)
"""The columns of `curves.parquet`, in order. The analyses need those in `NEEDED` only."""

COSTS = ("instances_seen", "wall_seconds")
"""What a run spends: source images that it trained on, each as often as it was seen, and seconds."""

RUN = ("method", "domain", "seed")
"""The columns that identify a run."""

NEEDED = (*RUN, *COSTS, "best_value")


def read_curves(path: str | Path) -> pd.DataFrame:
    """Read a table of training curves.

    Args:
        path: a `.parquet` file with the columns `NEEDED`; further columns are kept.

    Returns:
        DataFrame, one row per evaluation, as `checked_curves` returns it.

    Raises:
        ResultsFileError: the file is absent or unreadable.
        AnalysisInputError: as `checked_curves`.
    """
    path = Path(path)
    if not path.is_file():
        raise ResultsFileError(f"curves: {path} is not a file; allowed: a curves.parquet as sweeps write it")
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ResultsFileError(f"curves: {path} cannot be read as parquet ({reason})") from error
    return checked_curves(table)


def checked_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Check a table of training curves and bring its rows into order.

    Args:
        curves: the columns method, domain, seed, instances_seen (images), wall_seconds and best_value (the best
            validation score so far).

    Returns:
        DataFrame with the same columns: methods, domains and seeds as texts in order of first appearance, the rows of a
        run by images, then by seconds; costs and best_value as finite floats.

    Raises:
        ColumnsError: a column is absent or a name is empty.
        OptionError: there is no row, or a cost is negative.
        NotNumericError, NotFiniteError: naming the first offending (method, domain, seed).
    """
    if not isinstance(curves, pd.DataFrame):
        raise AnalysisInputError(f"curves: {type(curves).__name__}; allowed: a pandas DataFrame")
    absent = [column for column in NEEDED if column not in curves.columns]
    if absent:
        raise ColumnsError(f"columns: {listing(absent)} absent; present: {listing(curves.columns) or 'none'}")
    if curves.empty:
        raise OptionError("curves: no row; allowed: at least one evaluation")
    for name in RUN:
        empty = curves[name].isna() | (curves[name].astype(str) == "")
        if empty.any():
            place = int(np.flatnonzero(empty.to_numpy())[0])
            raise ColumnsError(f"{name}: row {place} (counted from 0) is empty; allowed: a name in every row")
    checked = curves.assign(**{name: curves[name].astype(str) for name in RUN})
    checked = checked.assign(**{name: numbers(checked, name) for name in (*COSTS, "best_value")})
    for cost in COSTS:
        wrong = checked[cost] < 0
        if wrong.any():
            row = checked.loc[wrong].iloc[0]
            where = f"({row['method']}, {row['domain']}, seed {row['seed']})"
            raise OptionError(f"{cost}: {shown(row[cost])} in row {where}; allowed: 0 or more")
    places = {name: {value: i for i, value in enumerate(dict.fromkeys(checked[name]))} for name in RUN}
    keys = pd.DataFrame({name: checked[name].map(places[name]) for name in RUN}).assign(
        **{cost: checked[cost] for cost in COSTS}
    )
    order = np.lexsort(tuple(keys[name].to_numpy() for name in reversed(keys.columns)))
    ordered: pd.DataFrame = checked.iloc[order].reset_index(drop=True)
    return ordered


def require_method(curves: pd.DataFrame, name: str, field: str = "baseline") -> None:
    """Raise OptionError unless a checked table has rows of that method."""
    methods = list(dict.fromkeys(curves["method"]))
    if name not in methods:
        raise OptionError(f"{field}: {name!r} is not among the methods; allowed: {listing(methods)}")
