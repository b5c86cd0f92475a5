"""Weights from a file: a Parquet or CSV table with a weight for each image, checked as far as possible without the
source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bdw.errors import InputError

CONTENT_KEY = b"source_content_key"
"""Parquet metadata under which the weight table of a run names the source that it belongs to."""


@dataclass(frozen=True)
class WeightsFile:
    """The rows of a file, in its order. Indices or names are there, often both."""

    path: Path
    weights: NDArray[np.float64]
    """(m,) finite, not negative."""
    indices: NDArray[np.int64] | None
    names: NDArray[np.str_] | None
    content_key: str | None
    """Content key of the source that the weights were made for, if the file (or a run's config.json beside it)
    tells."""


def read_weights(path: Path) -> WeightsFile:
    """The columns `index` and/or `name`, and `weight` (or `mean`, as runs write it); 0 where `kept`, if any, is false.

    `InputError` for a file that cannot be read, lacks a column, or holds a weight that is negative or not finite.
    """
    table = _read(path)
    columns = set(table.column_names)
    value = next((name for name in ("weight", "mean") if name in columns), None)
    if value is None or not columns & {"index", "name"}:
        raise InputError(
            f"weights_file: {path} has the columns {', '.join(table.column_names)}; allowed: index or name, and weight "
            "or mean"
        )
    weights = _column(path, table, value, pa.float64()).astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise InputError(
            f"weights_file: {path}: {value} is {weights[wrong[0]]} in row {wrong[0] + 1} ({len(wrong)} such row(s)); "
            "allowed: finite numbers, 0 or more"
        )
    if "kept" in columns:
        weights = weights * _column(path, table, "kept", pa.bool_()).astype(np.bool_)
    if not weights.any():
        raise InputError(f"weights_file: {path}: all weights are 0 or not kept; allowed: at least one above 0")
    return WeightsFile(
        path,
        weights,
        _column(path, table, "index", pa.int64()).astype(np.int64) if "index" in columns else None,
        _column(path, table, "name", pa.string()).astype(np.str_) if "name" in columns else None,
        _content_key(path, table),
    )


def _read(path: Path) -> pa.Table:
    readers = {".parquet": pq.read_table, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise InputError(f"weights_file: {path} ends in {path.suffix!r}; allowed: .parquet, .csv")
    try:
        with path.open("rb") as file:
            return readers[path.suffix.lower()](file)
    except (OSError, pa.ArrowException) as error:
        reason = "there is no such file" if not path.exists() else " ".join(str(error).split())
        raise InputError(f"weights_file: {path} cannot be read: {reason}") from None


def _read_csv(file: BinaryIO) -> pa.Table:
    # Names stay what they are: `007` is no number.
    return pa.csv.read_csv(file, convert_options=pa.csv.ConvertOptions(column_types={"name": pa.string()}))


def _column(path: Path, table: pa.Table, name: str, kind: pa.DataType) -> NDArray[np.generic]:
    column = table[name]
    if column.null_count:
        first = int(np.argmax(column.is_null().to_numpy())) + 1
        raise InputError(
            f"weights_file: {path}: {name} is empty or NaN in row {first} ({column.null_count} such row(s)); "
            "allowed: a value in each"
        )
    try:
        values: NDArray[np.generic] = column.cast(kind).to_numpy()
    except pa.ArrowException:
        raise InputError(f"weights_file: {path}: {name} holds {column.type} values; allowed: {kind}") from None
    return values


def _content_key(path: Path, table: pa.Table) -> str | None:
    own = (table.schema.metadata or {}).get(CONTENT_KEY)
    if own is not None:
        return str(own.decode(errors="replace")) or None  # Empty: made for images, whatever store they are in.
    try:
        source = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))["source"]
        return str(source["content_key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not beside a run's config
