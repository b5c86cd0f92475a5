"""Scores on disk: a part for every shard while scoring is under way, one file with ranks at the end.

A part is written under a temporary name and renamed, so that scoring that was interrupted goes on with the shards that
have no part. The parts say which scorer and which pool they belong to.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bdw.data.weights_file import CONTENT_KEY
from bdw.errors import InputError
from bdw.runs.export import read_table, write_table
from bdw.scoring.pool import Pool
from bdw.scoring.shards import ScoredShard
from bdw.storage.atomic_write import require_new, write_text

PLAN = "plan.json"
COLUMNS = ("name", "a", "b", "mean", "low", "high", "rank")
"""Of the file of scores: a, b, mean and interval as `Ratings` has them; rank 1 is the most useful image."""
_SKIPPED = b"skipped"


class ScoreParts:
    """The parts beside the file `out`, which they become."""

    def __init__(self, out: Path, plan: Mapping[str, Any]):
        """Claim the folder of parts. `plan` (JSON values): all that scores depend on.

        Raises `InputError` if `out` is there already, or parts of other scores are.
        """
        self.out = out
        self.folder = out.with_name(f"{out.name}.parts")
        require_new(out)
        file = self.folder / PLAN
        if not file.is_file():
            write_text(file, json.dumps(plan, indent=1))
        elif json.loads(file.read_text(encoding="utf-8")) != dict(plan):
            raise InputError(
                f"out: {self.folder} holds parts of other scores (of another run or pool, or the pool has changed); "
                "choose another --out, or delete that folder"
            )

    def missing(self, count: int) -> list[int]:
        """The numbers, of shards 0 to `count` - 1, that have no part yet."""
        return [number for number in range(count) if not self._part(number).is_file()]

    def write(self, number: int, shard: ScoredShard) -> None:
        """The part of that shard."""
        columns = {"name": pa.array(shard.names, pa.string()), **vars(shard.ratings)}
        table = pa.table(columns).replace_schema_metadata({_SKIPPED: json.dumps(shard.skipped)})
        write_table(self._part(number), table)

    def finish(self, count: int, pool: Pool) -> tuple[pa.Table, list[dict[str, Any]]]:
        """Write `out` from all parts and delete them; the table (`COLUMNS`, and last `filepath` where the pool is a
        folder of images), and what was skipped.

        Raises `InputError` if no image could be used.
        """
        parts = [read_table(self._part(number)) for number in range(count)]
        skipped = [entry for part in parts for entry in json.loads(part.schema.metadata[_SKIPPED])]
        whole = pa.concat_tables(part.replace_schema_metadata(None) for part in parts)
        if not len(whole):
            raise InputError(f"pool: none of its {len(skipped):,} images can be read: {skipped[0]['reason']}")
        order = np.argsort(-whole["predicted"].to_numpy(), kind="stable")
        rank = np.empty(len(whole), dtype=np.int64)
        rank[order] = np.arange(1, len(whole) + 1)
        table = whole.append_column("rank", pa.array(rank)).select(COLUMNS)
        for column, paths in pool.columns(table["name"].to_pylist()).items():
            table = table.append_column(column, pa.array(paths, pa.string()))
        # Nothing is known of the store that these images may be packed into, whatever lies beside this file.
        write_table(self.out, table.replace_schema_metadata({CONTENT_KEY: b""}))
        shutil.rmtree(self.folder)
        return table, skipped

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:06}.parquet"


def read_scores(path: Path) -> pa.Table:
    """The columns `name` and `mean`, and others that are there, of a file of scores or of a run's weights.

    Raises `InputError` for a file that cannot be read or lacks one of the two.
    """
    try:
        table = pq.read_table(path) if path.is_file() else None
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"scores: {path} cannot be read: {' '.join(str(error).split())}") from None
    if table is None:
        raise InputError(f"scores: {path} does not exist; allowed: a file that `bdw score` wrote, or a run's weights")
    return with_scores(table, str(path))


def with_scores(table: pa.Table, what: str) -> pa.Table:
    """The table; `InputError`, which calls it `what`, unless it has the columns `name` and `mean`."""
    missing = {"name", "mean"} - set(table.column_names)
    if missing:
        raise InputError(
            f"scores: {what} has no column {', '.join(sorted(missing))}; allowed: what `bdw score` wrote, or a run's "
            "instance_weights.parquet"
        )
    return table
