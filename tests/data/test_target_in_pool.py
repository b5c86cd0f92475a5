"""The target's training images join the pool on request, and no others of the target ever do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bdw.config import DataConfig, RunConfig
from bdw.config.identity import settings
from bdw.data import load
from bdw.errors import InputError


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A pool of ten pictures, and a target of two classes of ten, one of which cannot be decoded."""
    rng = np.random.default_rng(0)
    places = [tmp_path / "pool" / f"{i}.png" for i in range(10)]
    places += [tmp_path / "mine" / name / f"{i}.png" for name in ("cat", "dog") for i in range(10)]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place)
    (tmp_path / "mine" / "cat" / "3.png").write_bytes(b"no picture")
    return tmp_path / "pool", tmp_path / "mine"


def config(source: object, target: object, **fields: object) -> DataConfig:
    return DataConfig(**{"source": str(source), "target": str(target), "image_size": 8, "crop_size": 8} | fields)


def test_training_images_join_and_no_others(folders: tuple[Path, Path], tmp_path: Path) -> None:
    plain = load(config(*folders), tmp_path / "work")
    problem = load(config(*folders, target_in_pool=True), tmp_path / "work")
    source, target = problem.source, problem.target
    assert plain.source.names.tolist() == [f"{i}.png" for i in range(10)]
    assert target.key == plain.target.key
    assert len(source) == 10 + len(target.train)
    np.testing.assert_array_equal(source.images[:10], plain.source.images)
    np.testing.assert_array_equal(source.images[10:], target.train.images)
    assert target.train.names is not None
    assert source.names[10:].tolist() == [f"target/{name}" for name in target.train.names]
    assert (source.labels == -1).all(), "the method is shown no label"
    assert not problem.held_out_in_source
    again = load(config(*folders, target_in_pool=True), tmp_path / "work")
    assert again.source.path == source.path, "packed once"


def test_they_count_as_useful_where_that_is_known(tmp_path: Path) -> None:
    sizes = {"image_size": 12, "crop_size": 12}
    problem = load(config("glyphs:images=40", "glyphs-lao", target_in_pool=True, **sizes), tmp_path)
    source = problem.source
    assert source.planted is not None
    assert source.planted_kinds is not None
    own = source.planted_kinds == "target"
    assert int(own.sum()) == len(problem.target.train)
    assert (source.planted[own] == 1).all()
    assert (source.planted[~own] == 0).any()


def test_a_name_that_is_taken_is_one_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pool, mine = folders
    (pool / "target").symlink_to(mine)
    with pytest.raises(InputError, match="target_in_pool: the source already has an image called 'target/cat/"):
        load(config(pool, mine, target_in_pool=True), tmp_path / "work")


def test_it_is_part_of_a_runs_identity() -> None:
    assert settings(RunConfig().replace(target_in_pool=True)) == {"target_in_pool": True}
