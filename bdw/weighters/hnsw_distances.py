"""Squared pixel distance to the nearest target by a navigable small-world graph, HNSW (Malkov and Yashunin 2020).

FAISS has the graph; it is for targets so large that comparing all pairs takes too long. BDW's authors search like this.
Only the choice of the neighbour is approximate: its distance is computed anew in whole numbers, so that no distance is
smaller than the exact one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdw.errors import InputError
from bdw.weighters.nearest_distances import IMAGE_BLOCK, WHITE, Progress

LINKS, BUILD_EFFORT, SEARCH_EFFORT = 32, 200, 128
"""M, efConstruction and efSearch of the graph."""


def require_library() -> None:
    """`InputError` that says how to install what the graph needs."""
    _faiss()


def hnsw_nearest_distances(
    images: NDArray[np.uint8], targets: NDArray[np.uint8], progress: Progress | None = None
) -> NDArray[np.float64]:
    """About min_j |x_i - t_j|^2 (n,) of images (n, c, h, w) to targets (m, c, h, w), pixels taken as 0 to 1."""
    faiss = _faiss()
    flat = np.ascontiguousarray(targets).reshape(len(targets), -1)
    index = faiss.IndexHNSWFlat(flat.shape[1], LINKS)
    index.hnsw.efConstruction, index.hnsw.efSearch = BUILD_EFFORT, SEARCH_EFFORT
    threads = faiss.omp_get_max_threads()
    # Threads would link the graph in the order in which they happen to come.
    faiss.omp_set_num_threads(1)
    try:
        index.add(flat.astype(np.float32))
    finally:
        faiss.omp_set_num_threads(threads)
    squared = np.empty(len(images), dtype=np.int64)
    for start in range(0, len(images), IMAGE_BLOCK):
        block = np.array(images[start : start + IMAGE_BLOCK]).reshape(-1, flat.shape[1])
        _, found = index.search(block.astype(np.float32), 1)
        difference = block.astype(np.int64) - flat[found[:, 0]]
        squared[start : start + IMAGE_BLOCK] = np.square(difference).sum(axis=1)
        if progress is not None:
            progress(min(start + IMAGE_BLOCK, len(images)), len(images))
    return squared / WHITE**2


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise InputError(
            "nearest_search: 'hnsw' needs FAISS, which is not installed; allowed: exact, or `pip install faiss-cpu`"
        ) from error
    return faiss
