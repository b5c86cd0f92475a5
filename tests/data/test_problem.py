"""Specifications, the cache, and what cannot work as source and target."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from sample_sets import write_folder, write_raw_npz

from bdw.config import DataConfig
from bdw.data import LabelledImages, PackedDataset, available, load, load_target, pack, pack_arrays
from bdw.data.instances import Part
from bdw.data.problem import not_read_here
from bdw.data.readers import not_read, resolve
from bdw.errors import InputError


def config(source: object, target: object | None = None, **fields: object) -> DataConfig:
    sizes = {"image_size": 8, "crop_size": 8}
    return DataConfig(source=str(source), target=str(target or source), **(sizes | fields))


def test_names_are_sorted() -> None:
    assert list(available()) == sorted(available())
    assert {"digits", "folder", "npz", "packed", "stl10", "cifar10"} <= set(available())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "source: 'digit' is not known (did you mean 'digits'?)"),
        ("", "source: '' is not known"),
        ("foldr:/tmp", "source: 'foldr' is not known (did you mean 'folder'?)"),
        ("/no/such/place", "source: '/no/such/place' does not exist"),
        ("gone.npz", "source: 'gone.npz' does not exist"),
        ("folder:/no/such/place", "source: '/no/such/place' does not exist"),
        ("folder", "source: 'folder' needs a path; allowed: folder:PATH"),
        ("packed", "source: 'packed' needs a path; allowed: packed:PATH"),
        (__file__, "is a file of unknown kind"),
    ],
)
def test_bad_specifications(spec: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(DataConfig(source=spec), tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_wins_over_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "digits")
    assert resolve("digits", option="source", image_size=8)[0].name == "digits"
    assert resolve("./digits", option="source", image_size=8)[0].name == "folder"


def test_a_folder_that_is_not_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "mnist", "digits:2024", "x"):
        write_folder(tmp_path / name)
    (tmp_path / "sets").mkdir()
    write_raw_npz(tmp_path / "sets" / "x-train.npz")
    assert not_read("digits", "source") == (
        "source 'digits' means the data set 'digits', not the folder here; write './digits' for it"
    )
    in_root = not_read("x", "target", tmp_path / "sets")
    assert in_root == f"target 'x' means {tmp_path}/sets/x-train.npz, not the folder here; write './x' for it"
    for spec in ("./digits", "x", "digits-bold", "./digits:2024", str(tmp_path), "mixture:digits+x"):
        assert not_read(spec, "source") == ""
    assert not_read_here(config("digits", "x")) == [not_read("digits", "source")]
    with pytest.raises(InputError, match=r"'mnist': no --data-root .*; source 'mnist' means the data set 'mnist',"):
        load(config("mnist", "x"), tmp_path)
    with pytest.raises(InputError, match=r"'digits:2024' has a path; allowed: 'digits', .* './digits:2024' for it"):
        load(config("digits:2024", "x"), tmp_path)
    assert len(load(config("./digits:2024", "x"), tmp_path).source) == 30
    with pytest.raises(InputError, match=r"^target: 'digits:2023' has a path; allowed: 'digits', which needs none$"):
        load(config("x", "digits:2023"), tmp_path)


def test_packed_once_and_found_again(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool")
    calls: list[str] = []
    first = load(config(folder), tmp_path, lambda what, done, total: calls.append(what))
    assert set(calls) == {"packing source, images", "packing target train, images"}
    calls.clear()
    again = load(config(folder), tmp_path, lambda what, done, total: calls.append(what))
    assert calls == []
    assert again.source.path == first.source.path


def test_changed_files_and_other_sizes_are_packed_anew(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool")
    paths = [load(config(folder), tmp_path).source.path, load(config(folder, max_source=5), tmp_path).source.path]
    paths.append(load(config(folder, image_size=9), tmp_path).source.path)
    (folder / "a" / "000.png").unlink()
    paths.append(load(config(folder), tmp_path).source.path)
    assert len(set(paths)) == 4


def test_broken_cache_is_replaced(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool")
    path = load(config(folder), tmp_path).source.path
    os.truncate(path / "images.npy", 200)
    assert load(config(folder), tmp_path).source.path == path
    PackedDataset.open(path, verify=True)
    (path / "header.json").write_text("{}")
    load(config(folder), tmp_path).source.verify()
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".")]


def test_where_the_cache_lies(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_raw_npz(root / "x-train.npz")
    for sealed, expected in ((False, root), (True, tmp_path / "run")):
        root.chmod(0o555 if sealed else 0o755)
        try:
            store = load(config("x", data_root=str(root)), tmp_path / "run").source
        finally:
            root.chmod(0o755)
        assert store.path.parent == expected / "packed"
    chosen = load(config("x", data_root=str(root), cache_dir=str(tmp_path / "chosen")), tmp_path / "run").source
    assert chosen.path.parent == tmp_path / "chosen"


def test_unwritable_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        load(DataConfig(max_source=9, cache_dir=str(tmp_path / "file" / "cache")), tmp_path)


def test_max_source_and_max_train_per_class(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool")
    whole = load(config(folder), tmp_path)
    few = load(config(folder, max_source=5, max_train_per_class=2), tmp_path)
    assert len(few.source) == 5
    assert set(few.source.names.tolist()) < set(whole.source.names.tolist())
    assert np.bincount(few.target.train.labels).tolist() == [2, 2, 2]
    np.testing.assert_array_equal(few.target.test.images, whole.target.test.images)
    np.testing.assert_array_equal(few.target.validation.images, whole.target.validation.images)


def test_a_packed_source_is_used_in_place(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool")
    store = pack(str(folder), tmp_path / "packed-pool", 8)
    problem = load(config(store.path, folder), tmp_path)
    assert problem.source.path == store.path
    fewer = load(config(store.path, folder, max_source=4), tmp_path).source
    assert fewer.path != store.path
    assert len(fewer) == 4


def test_labels_need_not_be_contiguous(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8), dtype=np.uint8)
    labels = np.array([1, 4] * 10)
    store = pack_arrays(tmp_path / "store", images, labels=labels, classes=("a", "b", "c", "d", "e"))
    problem = load(config(store.path), tmp_path)
    assert problem.target.classes == ("b", "e")
    for split in (problem.target.train, problem.target.validation, problem.target.test):
        originals = [int(np.flatnonzero((images == image).all(axis=(1, 2, 3)))[0]) for image in split.images]
        np.testing.assert_array_equal(labels[originals], np.array([1, 4])[split.labels])


def arrays(path: Path, labels: list[int], channels: int = 3, size: int = 8) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), channels, size, size), dtype=np.uint8)
    pack_arrays(path, images, labels=np.array(labels), classes=("a", "b", "c"))
    return path


def test_single_class(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has only the class 'a'; allowed: at least 2 classes"):
        load(config(arrays(tmp_path / "x", [0] * 9)), tmp_path)


def test_class_too_small_for_three_splits(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"class 'b' of .* has 2 image\(s\); allowed: at least 3, one for every split"):
        load(config(arrays(tmp_path / "x", [0] * 9 + [1] * 2)), tmp_path)
    problem = load(config(arrays(tmp_path / "y", [0] * 9 + [1] * 3)), tmp_path)
    splits = (problem.target.train, problem.target.validation, problem.target.test)
    assert [int((s.labels == 1).sum()) for s in splits] == [1, 1, 1]


def test_the_target_alone(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool")
    target = load_target(config("digits", folder), tmp_path, channels=1)
    problem = load(config("digits", folder), tmp_path)
    assert target.key == problem.target.key
    assert target.classes == problem.target.classes
    np.testing.assert_array_equal(target.test.images, problem.target.test.images)
    assert load_target(config("digits", folder), tmp_path).train.images.shape[1] == 3


def test_targets_go_by_name_and_the_only_one_needs_none(tmp_path: Path) -> None:
    problem = load(DataConfig(source="digits", target="digits", cache_dir=str(tmp_path)), tmp_path)
    assert list(problem.targets) == ["digits"]
    assert problem.target is problem.targets["digits"]
    assert problem.target_key == problem.target.key
    assert problem.target_images is problem.target.train.images


def test_of_several_targets_the_first_is_the_target_and_selectors_see_the_images_of_all(tmp_path: Path) -> None:
    problem = load(DataConfig(source="digits", target="digits", cache_dir=str(tmp_path)), tmp_path)
    other = dataclasses.replace(problem.target, train=problem.target.test, key="other")
    several = dataclasses.replace(problem, targets={"one": problem.target, "other": other})
    turned = dataclasses.replace(problem, targets={"other": other, "one": problem.target})
    assert several.target is problem.target
    assert len({problem.target_key, several.target_key, turned.target_key}) == 3
    images = [problem.target.train.images, problem.target.test.images]
    np.testing.assert_array_equal(several.target_images, np.concatenate(images))
    held_out = LabelledImages(problem.source.images[:5], np.zeros(5, dtype=np.int64), problem.source.names[:5])
    with_leaks = {"one": problem.target, "other": dataclasses.replace(other, validation=held_out)}
    assert dataclasses.replace(problem, targets=with_leaks).held_out_in_source == {"validation": 5}


def test_the_target_is_checked_before_anything_is_decoded(tmp_path: Path) -> None:
    seen: list[tuple[list[int], tuple[str, ...]]] = []

    def check(labels: np.ndarray, classes: tuple[str, ...]) -> None:
        seen.append((np.bincount(labels).tolist(), classes))
        raise InputError("too few")

    with pytest.raises(InputError, match="too few"):
        load(config(write_folder(tmp_path / "pool")), tmp_path, check_target=check)
    assert seen == [([6, 6, 6], ("a", "b", "c"))]
    assert not (tmp_path / "packed").exists()


def test_class_that_cannot_be_decoded(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool")
    for file in sorted((folder / "b").iterdir())[:8]:
        file.write_text("broken")
    with pytest.raises(InputError, match=r"class 'b' of .* has 2 image\(s\)"):
        load(config(folder), tmp_path)


def test_test_class_without_training_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool", splits=True)
    (folder / "test" / "a").rename(folder / "test" / "z")
    with pytest.raises(InputError, match=r"images of test in '.*' have classes without training images: z"):
        load(config(folder), tmp_path)


def test_channels_and_sizes_must_agree(tmp_path: Path) -> None:
    grey = arrays(tmp_path / "grey", [0, 1] * 6, channels=1)
    colour = arrays(tmp_path / "colour", [0, 1] * 6)
    with pytest.raises(InputError, match=r"'.*colour' was packed with 3 channel\(s\) but the source has 1"):
        load(config(grey, colour), tmp_path)
    with pytest.raises(InputError, match=r"image_size: 16 asked for, but '.*grey' was packed at 8"):
        load(config(grey, image_size=16), tmp_path)
    assert load(config(grey, "digits"), tmp_path).target.train.images.shape[1:] == (1, 8, 8)
    assert load(config(colour, "digits"), tmp_path).target.train.images.shape[1:] == (3, 8, 8)


def test_pack_of_an_unknown_part(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="part: 'validation' is not in 'digits'; allowed: source, train, test"):
        pack("digits", tmp_path / "x", 8, part="validation")


def test_a_part_refuses_columns_of_another_length() -> None:
    with pytest.raises(ValueError, match="2 names but a column of 3 values"):
        Part(names=["a", "b"], labels=np.zeros(3, np.int64), read=lambda i: np.zeros((1, 1, 1), np.uint8),
             channels=1, fingerprint={})  # fmt: skip
