"""Clusters of images by their features, for choices that are to cover a pool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from bdw.errors import InputError


def clusters_of(features: Path, names: list[str], count: int, seed: int) -> NDArray[np.int64]:
    """Cluster numbers (n,) of the images with these names, by k-means on the features in a file that `bdw embed` wrote,
    or anybody's with the columns `name` and `embedding`, lists of as many numbers in every row.

    Features are standardised first, so that no number counts for its scale. Raises `InputError` for a file that cannot
    be read or lacks an image, and for more clusters than images.
    """
    if not 1 < count <= len(names):
        raise InputError(f"clusters: {count} cannot work; allowed: 2 to {len(names):,}, the number of images")
    values = _features(features, names)
    deviation = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    found = MiniBatchKMeans(count, n_init=3, random_state=seed, batch_size=max(1024, 2 * count)).fit(scaled)
    numbers: NDArray[np.int64] = found.labels_.astype(np.int64)
    return numbers


def _features(path: Path, names: list[str]) -> NDArray[np.float32]:
    """Float32 (n, d) in the order of the names."""
    try:
        table = pq.read_table(path, columns=["name", "embedding"])
        column = table["embedding"].combine_chunks()
        lengths = set(pc.list_value_length(column).to_pylist())
        if len(lengths) != 1 or lengths & {None, 0}:
            raise ValueError("embeddings are not all equally long")
        values = np.asarray(column.flatten(), dtype=np.float32).reshape(len(column), -1)
    except (OSError, ValueError, AttributeError, pa.ArrowException) as error:
        raise InputError(
            f"features: {path} cannot be read as `bdw embed` writes them (.parquet): {' '.join(str(error).split())}"
        ) from None
    rows = {name: row for row, name in enumerate(table["name"].to_pylist())}
    absent = [name for name in names if name not in rows]
    if absent:
        raise InputError(
            f"features: {path} lacks {len(absent):,} image(s) that have scores, such as {absent[0]!r}; allowed: the "
            "features of the same pool"
        )
    return values[[rows[name] for name in names]]
