"""Which folders of a labelled folder are splits and which are classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from sample_sets import encode, pictures

from bdw.config import DataConfig
from bdw.data import load_target
from bdw.data.labelled_images import Target
from bdw.data.readers.split_layout import split_of
from bdw.errors import InputError

IMAGE = encode(pictures(1, 8, 8)[0])


def write(root: Path, folders: Mapping[str, int]) -> Path:
    """Folders with so many images each."""
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (root / folder / f"{i}.png").write_bytes(IMAGE)
    return root


def target(root: Path, folders: Mapping[str, int]) -> Target:
    return load_target(DataConfig(target=str(write(root / "t", folders)), image_size=8, crop_size=8), root)


def sizes(found: Target) -> tuple[int, int, int]:
    return len(found.train), len(found.validation), len(found.test)


@pytest.mark.parametrize(
    ("name", "split"),
    [(name, "train") for name in ("train", "Train", "TRAIN", "training", "training_set", "seg_train", "TrainSet")]
    + [(name, "train") for name in ("trainset", "train_images", "train2017", "Training Data")]
    + [(name, "validation") for name in ("val", "valid", "Validation", "val_set", "eval", "dev", "VALID")]
    + [(name, "test") for name in ("test", "Test", "testing", "test_set", "seg_test", "TestImages")]
    + [(name, None) for name in ("cat", "trains", "contest", "protest", "fold1", "2019", "train_station", "data", "")],
)
def test_spellings(name: str, split: str | None) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("train", "Test"), ("training_set", "test_set")])
def test_splits_whatever_their_spelling(train: str, test: str, tmp_path: Path) -> None:
    found = target(tmp_path, {f"{train}/cat": 5, f"{train}/dog": 5, f"{test}/cat": 3, f"{test}/dog": 4})
    assert found.classes == ("cat", "dog")
    assert sizes(found) == (8, 2, 7)
    assert not found.skipped


def test_splits_inside_folders_of_their_own_name(tmp_path: Path) -> None:
    splits = {"seg_train/seg_train": 5, "seg_test/seg_test": 3}
    folders = {f"{split}/{name}": count for split, count in splits.items() for name in ("sea", "street")}
    found = target(tmp_path, folders | {"seg_pred/seg_pred": 2})
    assert found.classes == ("sea", "street")
    assert sizes(found) == (8, 2, 6)
    assert found.skipped == (
        {"name": "seg_pred/seg_pred/0.png", "reason": "lies beside the folders of classes", "count": 2},
    )


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    found = target(tmp_path, {"train": 5, "bus": 5, "test": 5, "car/parked": 2, "car": 3})
    assert found.classes == ("bus", "car", "test", "train")
    assert sizes(found) == (12, 4, 4)


def test_classes_that_hold_the_same_folder_are_classes(tmp_path: Path) -> None:
    assert target(tmp_path, {"n01/images": 5, "n02/images": 5}).classes == ("n01", "n02")
    night = {"cat": 5, "cat/night": 2, "cat/snow": 1, "dog": 5, "dog/night": 2, "dog/snow": 1}
    assert target(tmp_path / "b", night).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("val/cat", "val/dog", "test/cat", "test/dog"), "has test, val but no folder for training images"),
        (("fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog", "fold3/cat"), "below each of fold1, fold2, fold3"),
        (("2019/cat", "2019/dog", "2020/cat", "2020/dog"), "the same folders (cat, dog) below each of 2019, 2020"),
        (("cat/train", "cat/test", "dog/train", "dog/test"), "the same folders (test, train) below each of cat, dog"),
        (("train/cat", "train/dog", "test/cat", "testing/cat"), "has test, testing, which all mean test"),
        (("train/cat", "train/dog", "test"), "test holds no folders of images"),
        (("train", "test"), "has test, train without folders for classes"),
        (("test/cat", "test/dog", "cat", "dog"), "has test with folders inside (cat, dog) beside cat, dog"),
        (("train/cat", "train/dog", "more/cat"), "has train with folders inside (cat, dog) beside more"),
    ],
)
def test_what_could_be_either_is_refused(folders: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        target(tmp_path, dict.fromkeys(folders, 5))
    assert message in str(caught.value)
    assert str(caught.value).startswith("target: folder ")
    assert "; allowed: one folder " in str(caught.value)


def test_images_beside_the_classes_are_counted(tmp_path: Path) -> None:
    found = target(tmp_path, {"cat": 5, "dog": 5, ".": 2})
    assert found.classes == ("cat", "dog")
    assert [(entry["name"], entry["count"]) for entry in found.skipped] == [("0.png", 2)]
