"""The embedded mixture of digits and planted junk, and the held-out renditions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bdw.config import DataConfig
from bdw.data import Problem, load
from bdw.data.readers import planted_junk
from bdw.data.readers.digits import READERS
from bdw.data.readers.renditions import RENDITIONS


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    return load(DataConfig(), tmp_path_factory.mktemp("digits"))


def test_the_mixture(problem: Problem) -> None:
    source = problem.source
    assert source.images.shape == (2000, 1, 16, 16)
    assert source.planted is not None
    assert source.planted_kinds is not None
    kinds, counts = np.unique(source.planted_kinds, return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {
        "digit": 1000,
        "shuffled": 334,
        "noise": 333,
        "stripes": 333,
    }
    np.testing.assert_array_equal(source.planted == 1, source.planted_kinds == "digit")


def test_the_order_tells_nothing(problem: Problem) -> None:
    planted = problem.source.planted
    assert planted is not None
    # Of 1,000 places in the first half about half are digits; five standard deviations are 56.
    assert abs(int(planted[:1000].sum()) - 500) < 60


def test_target_digits_are_not_in_the_source(problem: Problem, tmp_path: Path) -> None:
    reader = READERS[0]
    from bdw.data.readers import resolve

    _, request = resolve("digits", option="target", image_size=16)
    names = [name for part in reader.target(request).values() for name in part.names]
    assert len(set(names)) == len(names) == 797
    assert not set(names) & set(problem.source.names.tolist())
    sizes = [len(s) for s in (problem.target.train, problem.target.validation, problem.target.test)]
    assert sum(sizes) == 797
    assert np.bincount(problem.target.train.labels).min() >= 30


def test_shuffling_keeps_the_pixels() -> None:
    digit = np.arange(64.0).reshape(8, 8)
    junk = planted_junk.draw("shuffled", digit, np.random.default_rng(0))
    assert sorted(junk.ravel()) == sorted(digit.ravel())
    assert not np.array_equal(junk, digit)


@pytest.mark.parametrize("kind", planted_junk.KINDS)
def test_junk_has_the_digits_grid_and_levels(kind: str) -> None:
    digit = np.random.default_rng(1).integers(0, 17, (8, 8)).astype(float)
    draws = [planted_junk.draw(kind, digit, np.random.default_rng(seed)) for seed in range(20)]
    assert all(junk.shape == (8, 8) for junk in draws)
    assert all(set(np.unique(junk)) <= set(range(17)) for junk in draws)
    assert len({junk.tobytes() for junk in draws}) == 20
    np.testing.assert_array_equal(draws[3], planted_junk.draw(kind, digit, np.random.default_rng(3)))


@pytest.mark.parametrize("size", [8, 16, 33])
@pytest.mark.parametrize("name", RENDITIONS)
def test_renditions_change_the_picture_but_not_the_digit(name: str, size: int) -> None:
    ink = np.zeros((size, size))
    ink[size // 4 : -size // 4, size // 2 - size // 8 : size // 2 + size // 8] = 255
    made = RENDITIONS[name](ink, np.random.default_rng(0))
    assert made.shape == ink.shape
    assert np.array_equal(made, ink) == (name == "digits")
    strength = abs(np.corrcoef(made.ravel(), ink.ravel())[0, 1])
    assert strength > 0.5
    if name == "digits-bold":
        assert made.sum() > ink.sum()


def test_the_seed_draws_other_images(problem: Problem, tmp_path: Path) -> None:
    other = load(DataConfig(data_seed=1), tmp_path)
    assert other.source.content_key != problem.source.content_key
    assert set(other.source.names.tolist()) != set(problem.source.names.tolist())


def test_renditions_share_the_pool(problem: Problem, tmp_path: Path) -> None:
    inverted = load(DataConfig(target="digits-inverted"), tmp_path)
    assert inverted.source.content_key == problem.source.content_key
    np.testing.assert_array_equal(inverted.target.test.labels, problem.target.test.labels)
    np.testing.assert_allclose(inverted.target.test.images, 255 - problem.target.test.images, atol=1)
