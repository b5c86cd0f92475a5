"""Distances against a float64 brute force, their cache, and the weights that follow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bdw.data import PackedDataset, Problem, pack_arrays
from bdw.errors import InputError
from bdw.weighting.selection import nearest_distances
from bdw.weighting.selection.nearest_neighbour import weights_of
from bdw.weighting.weighters.protocol import Weighter

CPU = torch.device("cpu")


def _images(n: int, seed: int, side: int = 6) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, side, side), dtype=np.uint8)


def _brute_force(images: NDArray[np.uint8], targets: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pixels as ToTensor gives them, every pair, in float64."""
    x, t = (part.reshape(len(part), -1).astype(np.float64) / 255 for part in (images, targets))
    return np.array([min(((image - target) ** 2).sum() for target in t) for image in x])


@pytest.fixture(params=[(1024, 1024), (7, 5)], ids=["one block", "uneven blocks"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_distances, "IMAGE_BLOCK", request.param[0])
    monkeypatch.setattr(nearest_distances, "TARGET_BLOCK", request.param[1])


@pytest.mark.usefixtures("_blocks")
def test_equals_a_float64_brute_force() -> None:
    images, targets = _images(40, 0), _images(23, 1)
    found = nearest_distances.nearest_distances(images, targets, CPU)
    np.testing.assert_allclose(found, _brute_force(images, targets), rtol=1e-13)


@pytest.mark.usefixtures("_blocks")
def test_nothing_cancels_between_near_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of a target, some with one pixel off by one level: float32 norms and products would drown that."""
    monkeypatch.setattr(nearest_distances, "_PAIR_VALUES", 20_000)
    targets = _images(12, 2, side=32)
    images = targets[[3, 3, 8, 11, 0]].copy()
    images[1, 0, 5, 5] ^= 1
    images[2, 2, 31, 31] ^= 1
    images[2, 1, 0, 7] ^= 1
    found = nearest_distances.nearest_distances(images, targets, CPU)
    np.testing.assert_allclose(found, np.array([0, 1, 2, 0, 0]) / 255**2, rtol=1e-15, atol=0)


def test_flat_images_that_are_all_about_as_far() -> None:
    """White against near-black targets: distances differ by less than float32 resolves at this size."""
    targets = np.zeros((30, 3, 32, 32), dtype=np.uint8)
    targets.reshape(30, -1)[np.arange(30), np.arange(30)] = np.random.default_rng(3).permutation(30)
    images = np.full((2, 3, 32, 32), 255, dtype=np.uint8)
    found = nearest_distances.nearest_distances(images, targets, CPU)
    np.testing.assert_allclose(found, _brute_force(images, targets), rtol=1e-13)


def test_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_distances, "IMAGE_BLOCK", 4)
    told: list[tuple[int, int]] = []
    nearest_distances.nearest_distances(_images(10, 0), _images(3, 1), CPU, lambda *call: told.append(call))
    assert told == [(4, 10), (8, 10), (10, 10)]


class Counter:
    """Exact distances, and how often they were asked for."""

    calls = 0

    def __call__(self, images: NDArray[np.uint8], targets: NDArray[np.uint8]) -> NDArray[np.float64]:
        self.calls += 1
        return nearest_distances.nearest_distances(images, targets, CPU)


def test_distances_are_kept_for_this_source_and_this_target(tmp_path: Path, source: PackedDataset) -> None:
    counter = Counter()
    targets = np.random.default_rng(1).integers(0, 256, (5, 1, 6, 6), dtype=np.uint8)
    changed = source.images.copy()
    changed[0, 0, 0, 0] ^= 255
    other = pack_arrays(tmp_path / "other", changed)

    def distances(source: PackedDataset, targets: NDArray[np.uint8]) -> NDArray[np.float64]:
        found = nearest_distances.cached_nearest_distances(source, targets, tmp_path / "cache", counter)
        np.testing.assert_allclose(found, _brute_force(source.images, targets), rtol=1e-13)
        return found

    first = distances(source, targets)
    np.testing.assert_array_equal(distances(source, targets), first)
    assert counter.calls == 1
    distances(source, targets[:4])
    assert counter.calls == 2, "another target must not find the first one's distances"
    distances(other, targets)
    assert counter.calls == 3, "another source must not find the first one's distances"
    files = sorted((tmp_path / "cache").iterdir())
    assert len(files) == 3
    for file in files:
        file.write_bytes(file.read_bytes()[:-20])
    distances(source, targets)
    assert counter.calls == 4, "a damaged file is computed anew"
    assert not list((tmp_path / "cache").glob(".*")), "nothing temporary is left over"


def test_weights_fall_with_the_distance(pool: Problem, make_weighter: Callable[..., Weighter]) -> None:
    distances = _brute_force(pool.source.images, pool.target.train.images)
    found = make_weighter(weighter="nearest-neighbour", nearest_beta=0.3).table().mean
    np.testing.assert_allclose(found, np.exp(-0.3 * distances), rtol=1e-12)
    default = make_weighter(weighter="nearest-neighbour").table().mean
    np.testing.assert_allclose(default, np.exp(-distances / np.median(distances)), rtol=1e-12)


def test_the_default_looks_past_images_that_the_target_holds_itself() -> None:
    np.testing.assert_allclose(weights_of(np.array([0.0, 0.0, 0.0, 2.0]), None), [1, 1, 1, np.exp(-1)])
    np.testing.assert_array_equal(weights_of(np.zeros(3), None), np.ones(3))


def test_what_cannot_work_is_refused(tmp_path: Path, make_weighter: Callable[..., Weighter]) -> None:
    with pytest.raises(InputError, match=r"nearest_beta: 10000\.0 makes every weight 0 .*median distance"):
        make_weighter(weighter="nearest-neighbour", nearest_beta=1e4)
    larger = pack_arrays(tmp_path / "larger", np.zeros((3, 1, 8, 8), dtype=np.uint8))
    with pytest.raises(InputError, match=r"source's images are 1 x 8 x 8 and the target's 1 x 6 x 6"):
        make_weighter(weighter="nearest-neighbour", source=larger)
