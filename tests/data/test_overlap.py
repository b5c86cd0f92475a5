"""Held-out images of the target that the source holds too."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sample_sets import pictures, write_folder

from bdw.config import DataConfig
from bdw.data import Problem, load, overlap
from bdw.errors import InputError


def problem(source: Path, target: Path, work_dir: Path) -> Problem:
    return load(DataConfig(source=str(source), target=str(target), image_size=8, crop_size=8), work_dir)


def test_the_target_inside_the_source(tmp_path: Path) -> None:
    """By contents, whatever the files are called and whichever folders they lie in."""
    target = write_folder(tmp_path / "photos" / "labelled", splits=True)
    found = problem(tmp_path / "photos", target, tmp_path)
    assert found.held_out_in_source == {"validation": 6, "test": 30}
    assert len(found.source) == 60  # Nothing is removed.
    (tmp_path / "one").mkdir()
    (target / "test" / "b" / "001.png").rename(tmp_path / "one" / "of_another_name.png")
    write_folder(tmp_path / "others", splits=True)
    assert problem(tmp_path / "one", tmp_path / "others", tmp_path).held_out_in_source == {"test": 1}


def test_a_picture_saved_anew_is_known_by_its_name(tmp_path: Path) -> None:
    pool, target = tmp_path / "pool", write_folder(tmp_path / "t", splits=True)
    pool.mkdir()
    image = Image.fromarray(pictures(1, 64, 64, seed=5)[0])
    image.save(target / "test" / "a" / "IMG_7.png")
    image.save(pool / "IMG_7.jpg", quality=80)
    Image.fromarray(255 - np.asarray(image)).save(pool / "000.jpg")
    assert problem(pool, target, tmp_path).held_out_in_source == {"test": 1}
    Image.fromarray(255 - np.asarray(image)).save(pool / "IMG_7.jpg")  # The same name alone says nothing.
    assert problem(pool, target, tmp_path).held_out_in_source == {}


def test_nothing_in_common(tmp_path: Path) -> None:
    assert problem(write_folder(tmp_path / "a"), write_folder(tmp_path / "b", splits=True), tmp_path).target
    digits = load(DataConfig(image_size=8, crop_size=8), tmp_path)
    assert digits.held_out_in_source == {}


def test_the_source_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_folder(tmp_path / "photos" / "labelled", splits=True)
    found = {"validation": 6, "test": 30}
    assert problem(tmp_path / "photos", target, tmp_path).held_out_in_source == found
    (kept,) = tmp_path.glob("packed/held-out-*.json")
    with monkeypatch.context() as patch:
        patch.setattr(overlap, "shared_images", lambda *_: pytest.fail("looked at again"))
        assert problem(tmp_path / "photos", target, tmp_path).held_out_in_source == found
    kept.write_text('{"test": "many"}')
    assert problem(tmp_path / "photos", target, tmp_path).held_out_in_source == found
    # Another image in the source, another one held out: both are found out anew.
    gone = next((target / "test" / "a").iterdir()).rename(tmp_path / "gone.png")
    assert problem(tmp_path / "photos", target, tmp_path).held_out_in_source == {"validation": 6, "test": 29}
    gone.rename(target / "test" / "a" / "new.png")
    assert problem(tmp_path / "photos", target, tmp_path).held_out_in_source == found
    assert len([*tmp_path.glob("packed/held-out-*.json")]) == 3


def test_what_cannot_be_kept_is_found_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = problem(write_folder(tmp_path / "t", splits=True), tmp_path / "t", tmp_path)
    elsewhere = dataclasses.replace(found, cache_dir=tmp_path / "file" / "folder")
    assert elsewhere.held_out_in_source == found.held_out_in_source == {"validation": 6, "test": 30}


def test_a_class_that_cannot_be_read_at_all_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "t")
    for file in (folder / "b").iterdir():
        file.write_bytes(b"\0\0\0\x18ftypheic" if file.name < "020" else b"broken")
    message = (
        r"^target: class 'b' of '.*' has no image that can be read: "
        r"7 .png \(HEIC, which needs the package pillow-heif\), "
        r"3 .png \(not an image in a known format\), such as b/001.png; allowed: at least 1 in every class$"
    )
    with pytest.raises(InputError, match=message):
        problem(folder, folder, tmp_path)
