from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_sets import LABELS, pictures, write_encoded_npz, write_raw_npz

from bdw.config import DataConfig
from bdw.data import load, pack
from bdw.data.readers.label_column import label_column
from bdw.errors import InputError


def test_truncated_jpeg_inside_is_skipped(tmp_path: Path) -> None:
    file = write_encoded_npz(tmp_path / "x-train.npz", broken=3)
    store = pack(str(file), tmp_path / "packed", 8)
    assert [entry["name"] for entry in store.header["skipped"]] == ["x-train/000003"]
    assert len(store) == 29
    assert "x-train/000003" not in store.names
    np.testing.assert_array_equal(store.labels, np.delete(LABELS, 3))


def test_raw_images_come_out_unchanged(tmp_path: Path) -> None:
    store = pack(str(write_raw_npz(tmp_path / "x.npz")), tmp_path / "packed", 9)
    np.testing.assert_array_equal(store.images[:, 0], pictures(30, 9, 9, colours=1))


@pytest.mark.parametrize("colours", [1, 3])
def test_raw_images_with_channels_last(tmp_path: Path, colours: int) -> None:
    images = pictures(5, 8, 8, colours=colours).reshape(5, 8, 8, colours)
    np.savez(tmp_path / "x.npz", images=images)
    store = pack(str(tmp_path / "x.npz"), tmp_path / "packed", 8)
    np.testing.assert_array_equal(store.images, images.transpose(0, 3, 1, 2))
    assert set(store.labels.tolist()) == {-1}


def test_a_family_in_the_data_root_goes_by_its_name(sample_root: Path, tmp_path: Path) -> None:
    config = DataConfig(
        source="pool",
        target="raw",
        data_root=f"{sample_root}/paths",
        cache_dir=str(tmp_path),
        image_size=8,
        crop_size=8,
    )
    problem = load(config, tmp_path)
    assert problem.source.names[0] == "pool-unlabelled/000000"
    assert (len(problem.target.train), len(problem.target.validation), len(problem.target.test)) == (24, 6, 30)


def test_unlabelled_target(sample_root: Path, tmp_path: Path) -> None:
    target = f"{sample_root}/paths/pool-unlabelled.npz"
    with pytest.raises(InputError, match=r"^target: 30 of 30 images of '.*' have no label"):
        load(DataConfig(target=target), tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros(3)}, "is laid out differently"),
        ({"images": np.zeros((3, 4, 4))}, "is laid out differently"),
        ({"images": np.zeros((3, 4), np.uint8)}, "is laid out differently"),
        ({"images": np.zeros((0, 4, 4), np.uint8)}, "holds no images"),
        ({"data": np.zeros(9, np.uint8), "offsets": np.array([0, 20])}, "is laid out differently"),
        ({"data": np.zeros(9, np.uint8), "offsets": np.array([0, 5, 2, 9])}, "is laid out differently"),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": np.zeros(3, int)}, "labels must be 2 numbers"),
        (
            {"images": np.zeros((2, 4, 4), np.uint8), "labels": np.array([0, 5]), "classes": np.array(["a"])},
            "labels must be 2 numbers from -1",
        ),
        ({"images": np.array([{}, {}])}, "is not a readable .npz file"),
    ],
)
def test_bad_files(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=message):
        pack(str(tmp_path / "bad.npz"), tmp_path / "packed", 8)


def test_truncated_archive(tmp_path: Path) -> None:
    file = write_raw_npz(tmp_path / "x.npz")
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"is not a readable .npz file"):
        pack(str(file), tmp_path / "packed", 8)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no .npz file found for '.*gone'"):
        pack(f"npz:{tmp_path}/gone", tmp_path / "packed", 8)


def test_real_images(shared_data: Path, tmp_path: Path) -> None:
    config = DataConfig(
        source="stl10-unlabelled",
        target="pedestrians",
        data_root=str(shared_data),
        cache_dir=str(tmp_path),
        image_size=16,
    )
    problem = load(config, tmp_path)
    assert problem.source.images.shape == (246, 3, 16, 16)
    assert problem.source.header["skipped"] == []
    assert len(problem.target.classes) == 2
    assert [len(s) for s in (problem.target.train, problem.target.validation, problem.target.test)] == [1792, 448, 1040]
    assert 60 < problem.target.train.images.mean() < 190


CAT, DOG, OWL = "cat", "dog", "owl"
THREE = np.array([0, 2, 1, 0])


@pytest.mark.parametrize(
    ("labels", "classes", "numbers", "names"),
    [
        (THREE, None, [0, 2, 1, 0], ("0", "1", "2")),
        (THREE[:, None], None, [0, 2, 1, 0], ("0", "1", "2")),
        (THREE.astype(float), None, [0, 2, 1, 0], ("0", "1", "2")),
        (np.eye(3)[THREE], np.array([CAT, DOG, OWL]), [0, 2, 1, 0], (CAT, DOG, OWL)),
        (np.array([DOG, OWL, "", CAT]), None, [1, 2, -1, 0], (CAT, DOG, OWL)),
        (np.array([[b"dog"], [b"cat"], [b"dog"], [b"cat"]]), None, [1, 0, 1, 0], (CAT, DOG)),
        (np.array([DOG, OWL, DOG, CAT]), np.array([OWL, DOG, CAT]), [1, 0, 1, 2], (OWL, DOG, CAT)),
        (THREE * 10**11, None, [0, 2, 1, 0], ("0", "100000000000", "200000000000")),
        (np.array([2**64 - 1, 7, 7, 9], np.uint64), None, [2, 0, 0, 1], ("7", "9", "18446744073709551615")),
        (np.array([-1, 50, 60, 50]), None, [-1, 0, 1, 0], ("50", "60")),
        (np.array([True, False, True, False]), None, [1, 0, 1, 0], ("0", "1")),
        (THREE, np.array(["crane", "crane", OWL]), [0, 2, 1, 0], ("crane (0)", "crane (1)", OWL)),
        (THREE, np.array([b"cat", b"dog", b"owl"]), [0, 2, 1, 0], (CAT, DOG, OWL)),
        (None, None, [-1] * 4, ()),
    ],
)
def test_labels_as_people_write_them(
    labels: np.ndarray | None, classes: np.ndarray | None, numbers: list[int], names: tuple[str, ...]
) -> None:
    found, found_names = label_column(labels, classes, 4)
    assert found.dtype == np.int64
    assert (found.tolist(), found_names) == (numbers, names)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (THREE + 0.7, None, "a label is 0.7; labels must be 4 numbers without fractions"),
        (np.array([0, 1, np.nan, 1]), None, "a label is nan; labels must be"),
        (np.array([0, 1, -2, 1]), None, "a label is -2; labels must be 4 numbers from -1"),
        (np.eye(4)[:, :3], None, r"labels of shape \(4, 3\) that are not one-hot"),
        (np.full((4, 3), 1 / 3), None, "that are not one-hot; allowed: a single 1 in each row"),
        (np.zeros((4, 1, 1)), None, r"labels of shape \(4, 1, 1\); labels must be 4 numbers or names"),
        (np.zeros(3), None, r"labels of shape \(3,\); labels must be 4"),
        (np.zeros(4, complex), None, "labels are complex128; labels must be"),
        (np.array([CAT, DOG, CAT, OWL]), np.array([CAT, DOG]), "a label is 'owl', which is not in classes"),
        (np.array([CAT, DOG, CAT, CAT]), np.array([CAT, CAT, DOG]), "classes has a name twice"),
    ],
)
def test_labels_that_cannot_be_meant(labels: np.ndarray, classes: np.ndarray | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        label_column(labels, classes, 4)


def test_classes_of_one_name_stay_apart(tmp_path: Path) -> None:
    classes = np.array(["crane", "crane", "owl"])
    np.savez(tmp_path / "x.npz", images=pictures(30, 8, 8), labels=LABELS, classes=classes)
    target = load(DataConfig(target=str(tmp_path / "x.npz"), image_size=8, crop_size=8), tmp_path).target
    assert target.classes == ("crane (0)", "crane (1)", "owl")
    assert np.bincount(target.train.labels).tolist() == [6, 6, 6]
