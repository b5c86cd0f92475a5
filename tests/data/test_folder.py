from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sample_sets import encode, pictures, write_folder

from bdw.config import DataConfig
from bdw.data import load, pack
from bdw.data.readers import resolve
from bdw.errors import InputError


def config(source: Path, target: Path | None = None, **fields: object) -> DataConfig:
    return DataConfig(source=str(source), target=str(target or source), image_size=8, crop_size=8, **fields)


def test_source_takes_any_nesting_in_one_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "a.JPG", "b/deep/er/1.png", "c.txt", ".hidden.png", ".cache/x.png"):
        file = tmp_path / "pool" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(pictures(1, 9, 9)[0], "JPEG" if name.endswith("JPG") else "PNG"))
    store = pack(str(tmp_path / "pool"), tmp_path / "packed", 8)
    assert store.names.tolist() == ["a.JPG", "b/2.png", "b/deep/er/1.png"]
    assert set(store.labels.tolist()) == {-1}


def test_links_in_circles_end(tmp_path: Path) -> None:
    write_folder(tmp_path / "pool")
    (tmp_path / "pool" / "a" / "up").symlink_to(tmp_path / "pool", target_is_directory=True)
    assert len(pack(str(tmp_path / "pool"), tmp_path / "packed", 8)) == 30


def test_broken_images_are_skipped_counted_and_listed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool", suffix="jpg")
    whole = (folder / "a" / "000.jpg").read_bytes()
    (folder / "a" / "000.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "b" / "001.jpg").write_bytes(b"")
    (folder / "c" / "note.png").write_text("not an image")
    problem = load(config(folder), tmp_path)
    skipped = {entry["name"]: entry["reason"] for entry in problem.source.header["skipped"]}
    assert set(skipped) == {"a/000.jpg", "b/001.jpg", "c/note.png"}
    assert "truncated" in skipped["a/000.jpg"].lower()
    assert skipped["c/note.png"] == "not an image in a known format"
    assert len(problem.source) == 28
    assert {entry["name"] for entry in problem.target.skipped} == set(skipped)
    assert len(problem.target.train) + len(problem.target.validation) + len(problem.target.test) == 28


def test_plain_folder_splits_60_20_20(tmp_path: Path) -> None:
    problem = load(config(write_folder(tmp_path / "pool")), tmp_path)
    counts = [len(s) for s in (problem.target.train, problem.target.validation, problem.target.test)]
    assert counts == [18, 6, 6]
    assert np.bincount(problem.target.test.labels).tolist() == [2, 2, 2]
    assert problem.target.classes == ("a", "b", "c")


def test_split_folders_are_respected(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool", splits=True)
    (folder / "val").mkdir()
    (folder / "test" / "a").rename(folder / "val" / "a")
    problem = load(config(folder), tmp_path)
    assert len(problem.target.train) == 30
    assert set(problem.target.validation.labels.tolist()) == {0}
    assert set(problem.target.test.labels.tolist()) == {1, 2}


def test_grey_and_colour_meet_in_colour(tmp_path: Path) -> None:
    Image.fromarray(pictures(1, 9, 9, colours=1)[0]).save(tmp_path / "grey.png")
    Image.fromarray(pictures(1, 9, 9)[0]).save(tmp_path / "rgb.png")
    store = pack(str(tmp_path), tmp_path / "packed", 8)
    assert store.images.shape == (2, 3, 8, 8)
    assert (store.images[0] == store.images[0][:1]).all()


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_names_that_are_not_text(tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    folder.mkdir()
    try:
        Path(os.fsdecode(bytes(folder) + b"/caf\xe9.png")).write_bytes(encode(pictures(1, 9, 9)[0]))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert pack(str(folder), tmp_path / "packed", 8).names.tolist() == ["caf\\xe9.png"]


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "readme.txt").write_text("nothing here")
    with pytest.raises(InputError, match=r"^source: folder '.*pool' holds no images; allowed: a folder of images"):
        load(config(tmp_path / "pool"), tmp_path)


def test_nothing_but_broken_images(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.png").write_text("x")
    with pytest.raises(InputError, match=r"no image could be read; the first of 1: a.png: not an image"):
        pack(str(tmp_path / "pool"), tmp_path / "packed", 8)


def test_target_without_class_folders(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    Image.fromarray(pictures(1, 9, 9)[0]).save(tmp_path / "pool" / "a.png")
    with pytest.raises(InputError, match="has no sub-folders; allowed: one sub-folder of images per class"):
        load(config(tmp_path / "pool"), tmp_path)
    assert not (tmp_path / "packed").exists()


def test_empty_class_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool")
    (folder / "d").mkdir()
    with pytest.raises(InputError, match=r"class folder '.*d' holds no images"):
        load(config(folder), tmp_path)


def test_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    reader, request = resolve(f"folder:{tmp_path}/notes.txt", option="source", image_size=8)
    with pytest.raises(InputError, match="is a file; allowed: a folder of images"):
        reader.source(request)


def test_images_of_a_single_pixel_are_counted(tmp_path: Path) -> None:
    pool = write_folder(tmp_path / "pool")
    for i in range(3):
        Image.new("RGB", (1, 1), (i, 90, 200)).save(pool / f"dot{i}.png")
    store = pack(str(pool), tmp_path / "packed", 8)
    assert "3 images have a single pixel" in store.remarks
    assert not any("single pixel" in remark for remark in pack(str(pool / "a"), tmp_path / "others", 8).remarks)
