"""The graph's neighbours against exact ones."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from bdw import weighters
from bdw.errors import InputError
from bdw.weighters import WeighterContext
from bdw.weighters.hnsw_distances import hnsw_nearest_distances
from bdw.weighters.nearest_distances import nearest_distances

needs_faiss = pytest.mark.skipif(
    importlib.util.find_spec("faiss") is None, reason="FAISS is not installed: pip install faiss-cpu"
)


@needs_faiss
def test_finds_nearly_all_neighbours_and_never_a_distance_that_is_too_small() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 256, (900, 1, 7, 7), dtype=np.uint8)
    images = rng.integers(0, 256, (1500, 1, 7, 7), dtype=np.uint8)
    images[:20] = targets[100:120]
    told: list[tuple[int, int]] = []
    found = hnsw_nearest_distances(images, targets, lambda done, total: told.append((done, total)))
    exact = nearest_distances(images, targets, torch.device("cpu"))
    assert (found >= exact).all()
    assert (found == exact).mean() > 0.97
    assert (found[:20] == 0).all()
    assert told == [(1024, 1500), (1500, 1500)]
    np.testing.assert_array_equal(hnsw_nearest_distances(images, targets), found)


@needs_faiss
def test_the_weighter_takes_either_search_and_keeps_them_apart(make_context: Callable[..., WeighterContext]) -> None:
    exact = weighters.build(make_context(weighter="nearest-neighbour"))
    graph = weighters.build(make_context(weighter="nearest-neighbour", nearest_search="hnsw"))
    np.testing.assert_allclose(graph.table().mean, exact.table().mean)
    names = {path.name.split("-")[1] for path in make_context().cache_dir.iterdir() if path.name.startswith("nearest-")}
    assert names == {"exact", "hnsw"}


def test_a_missing_library_is_said_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, make_context: Callable[..., WeighterContext]
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"nearest_search: 'hnsw' needs FAISS.*pip install faiss-cpu"):
        weighters.check(make_context(weighter="nearest-neighbour", nearest_search="hnsw").config)
    weighters.check(make_context(weighter="nearest-neighbour").config)
