"""Held-out images of the target that lie in the source under other names, changed a little: found, told, left out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from bdw.config import DataConfig, RunConfig
from bdw.config.identity import settings
from bdw.data import Problem, leaks, load, source_and_targets
from bdw.errors import InputError

SIDE = 32
Pixels = NDArray[np.uint8]


def patches() -> list[Pixels]:
    """Patches (h, w, 3) of scikit-learn's two photographs that show something, none near another."""
    found = []
    for photo in load_sample_images().images:
        for top in range(0, photo.shape[0] - SIDE, SIDE):
            for left in range(0, photo.shape[1] - SIDE, SIDE):
                patch = photo[top : top + SIDE, left : left + SIDE]
                if patch.std() > 40:
                    found.append(patch)
    return found


def encoded_again(image: Pixels) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=80)
    return np.asarray(Image.open(stream))


CHANGES = {
    "same": lambda image: image,
    "encoded": encoded_again,
    "shifted": lambda image: np.roll(image, (1, -1), axis=(0, 1)),
    "brighter": lambda image: np.clip(image * 0.9 + 20.0, 0, 255).astype(np.uint8),
    "mirrored": lambda image: image[:, ::-1],
}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A target of two classes with 12 training and 6 test images each, and a pool of 10 others and 5 of the test's."""
    images = patches()
    assert len(images) >= 46
    pool, target = tmp_path / "pool", tmp_path / "mine"
    for folder in (pool, *(target / split / name for split in ("train", "test") for name in "ab")):
        folder.mkdir(parents=True)
    remaining = iter(images)
    for split, count in (("train", 12), ("test", 6)):
        for name in "ab":
            for i in range(count):
                Image.fromarray(next(remaining)).save(target / split / name / f"{split}{i}.png")
    for i in range(10):
        Image.fromarray(next(remaining)).save(pool / f"other{i}.png")
    for i, (change, do) in enumerate(CHANGES.items()):
        held_out = np.asarray(Image.open(target / "test" / "a" / f"test{i}.png"))
        Image.fromarray(do(held_out)).save(pool / f"{change}.png")
    return pool, target


def problem(folders: tuple[Path, Path], work_dir: Path, **fields: Any) -> Problem:
    sizes = {"image_size": SIDE, "crop_size": SIDE}
    return load(DataConfig(**{"source": str(folders[0]), "target": str(folders[1])} | sizes | fields), work_dir)


def test_all_are_found_and_nothing_else(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = problem(folders, tmp_path / "work").leaks
    assert found is not None
    expected = {f"{change}.png": ("test", f"a/test{i}.png") for i, change in enumerate(CHANGES)}
    told = {leak.name: (leak.split, leak.held_out[-len("a/test0.png") :]) for leak in found}
    assert told == expected
    assert leaks.held_out_images(found) == {"test": 5}
    said = leaks.in_words(found)
    assert said.startswith("5 images of the source are or nearly are the target's validation or test images, such as ")


def test_they_are_left_out_on_request(folders: tuple[Path, Path], tmp_path: Path) -> None:
    plain = problem(folders, tmp_path / "work")
    clean = problem(folders, tmp_path / "work", without_leaks=True)
    assert len(plain.source) == 15, "by default nothing is removed"
    assert clean.source.names.tolist() == [f"other{i}.png" for i in range(10)]
    rows = [plain.source.names.tolist().index(name) for name in clean.source.names]
    np.testing.assert_array_equal(clean.source.images, plain.source.images[rows])
    assert clean.leaks == ()
    assert clean.held_out_in_source == {}
    assert clean.target.key == plain.target.key
    assert any("5 images of the source are or nearly are" in remark for remark in clean.source.remarks)
    again = problem(folders, tmp_path / "work", without_leaks=True)
    assert again.source.path == clean.source.path, "packed once"


def test_training_images_are_no_leaks(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Those of the target that join the pool, and copies of them that were in it."""
    for file in (folders[1] / "train" / "a").iterdir():
        (folders[0] / f"copy of {file.name}").write_bytes(file.read_bytes())
    found = problem(folders, tmp_path / "work", without_leaks=True, target_in_pool=True)
    validation = set(found.target.validation.names.tolist() if found.target.validation.names is not None else [])
    copies = {str(name) for name in found.source.names if str(name).startswith("copy of ")}
    held_back = {name for name in validation if "/a/" in f"/{name}"}
    assert len(copies) == 12 - len(held_back)
    assert sum(str(name).startswith("target/") for name in found.source.names) == len(found.target.train)


def test_a_source_of_leaks_alone_is_one_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    inside = folders[1] / "test"
    with pytest.raises(InputError, match="without_leaks: every image of the source is nearly one of the target's"):
        problem((inside, folders[1]), tmp_path / "work", without_leaks=True)


def test_small_images_count_only_if_they_are_the_same(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = problem(folders, tmp_path / "work", image_size=24, crop_size=24).leaks
    assert found is not None
    assert {leak.name for leak in found} <= {"same.png", "mirrored.png"}
    assert "same.png" in {leak.name for leak in found}


def test_the_source_is_searched_once(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = problem(folders, tmp_path / "work").leaks
    (kept,) = (tmp_path / "work").glob("packed/leaks-*.json")
    with monkeypatch.context() as patch:
        patch.setattr(leaks, "find_leaks", lambda *_: pytest.fail("searched again"))
        assert problem(folders, tmp_path / "work").leaks == found
    kept.write_text("{}")
    assert problem(folders, tmp_path / "work").leaks == ()
    kept.write_text('[{"row": 1}]')
    assert problem(folders, tmp_path / "work").leaks == found


def test_a_search_that_takes_long_waits_until_it_is_asked_for(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15 images of the source and 12 test images and some of validation: more than 180 comparisons."""
    monkeypatch.setattr(source_and_targets, "MOST_COMPARISONS", 180)
    found = problem(folders, tmp_path / "work")
    assert found.leaks is None
    assert len(found.all_leaks()) == 5


def test_blocks_do_not_matter(folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = problem(folders, tmp_path / "work")
    found = whole.all_leaks()
    names = whole.target.test.names
    assert names is not None
    held_out = {"test": (whole.target.test.images, names.tolist())}
    monkeypatch.setattr(leaks, "_BLOCK", 4)
    monkeypatch.setattr("bdw.data.near_duplicates._BLOCK", 3)
    monkeypatch.setattr("bdw.data.near_duplicates._PAIRS", 2)
    heard: list[int] = []
    assert leaks.find_leaks(whole.source, held_out, lambda done, total: heard.append(done)) == found
    assert heard == [4, 8, 12, 15]


def test_it_is_part_of_a_runs_identity() -> None:
    assert settings(RunConfig().replace(without_leaks=True)) == {"without_leaks": True}
