"""Mixed pools, and targets that are one of their members."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sample_sets import LABELS, pictures, write_folder

from bdw.config import DataConfig
from bdw.data import load
from bdw.data.problem import load_target
from bdw.data.readers import resolve
from bdw.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three families of 30 training and 30 test images each, all different."""
    folder = tmp_path / "sets"
    folder.mkdir()
    for number, name in enumerate(("one", "two", "three")):
        for part, split in enumerate(("train", "test")):
            images = pictures(len(LABELS), 8, 8, seed=10 * number + part, colours=1)
            np.savez(folder / f"{name}-{split}.npz", images=images, labels=LABELS, classes=np.array(["a", "b", "c"]))
    return folder


def config(root: Path, tmp_path: Path, **fields: object) -> DataConfig:
    given = {
        "source": "mixture:one+two+three", "target": "two", "image_size": 8, "crop_size": 8,
        "data_root": str(root), "cache_dir": str(tmp_path / "cache"), **fields,
    }  # fmt: skip
    return DataConfig(**given)  # type: ignore[arg-type]


def test_all_members_are_mixed_and_keep_their_names(root: Path, tmp_path: Path) -> None:
    source = load(config(root, tmp_path), tmp_path).source
    assert len(source) == 90
    assert source.planted_kinds is not None
    members, counts = np.unique(source.planted_kinds, return_counts=True)
    assert dict(zip(members.tolist(), counts.tolist(), strict=True)) == {"one": 30, "two": 30, "three": 30}
    for name, kind in zip(source.names, source.planted_kinds, strict=True):
        assert str(name).startswith(f"{kind}-train/")
    # Sorted by member the first 30 would be alike; the order is drawn by the seed.
    assert len(set(source.planted_kinds[:30].tolist())) == 3
    other = load(config(root, tmp_path, data_seed=1), tmp_path).source
    assert other.names.tolist() != source.names.tolist()
    assert sorted(other.names.tolist()) == sorted(source.names.tolist())


def test_images_are_those_of_the_members(root: Path, tmp_path: Path) -> None:
    source = load(config(root, tmp_path), tmp_path).source
    for i in (0, 17, 89):
        family, number = str(source.names[i]).split("/")
        with np.load(root / f"{family}.npz") as archive:
            np.testing.assert_array_equal(source.images[i, 0], archive["images"][int(number)])


def test_the_targets_own_domain_is_what_the_oracle_knows(root: Path, tmp_path: Path) -> None:
    for target in ("one", "two"):
        source = load(config(root, tmp_path, target=target), tmp_path).source
        assert source.planted is not None
        np.testing.assert_array_equal(source.planted == 1, source.planted_kinds == target)


def test_of_another_target_nothing_is_known(root: Path, tmp_path: Path) -> None:
    source = load(config(root, tmp_path, source="mixture:one+three"), tmp_path).source
    assert source.planted is None


def test_a_share_of_the_target_leaves_the_source(root: Path, tmp_path: Path) -> None:
    problem = load(config(root, tmp_path, target_fraction=0.4), tmp_path)
    own = {image.tobytes() for part in (problem.target.train, problem.target.validation) for image in part.images}
    assert len(own) == 12
    assert np.bincount(np.r_[problem.target.train.labels, problem.target.validation.labels]).tolist() == [4, 4, 4]
    assert len(problem.source) == 90 - 12
    assert not own & {image.tobytes() for image in problem.source.images}
    alone = load_target(config(root, tmp_path, target_fraction=0.4), tmp_path, channels=1)
    np.testing.assert_array_equal(alone.train.images, problem.target.train.images)
    assert len(problem.target.test) == 30


def test_members_with_the_same_file_names_are_told_apart(tmp_path: Path) -> None:
    first, second = write_folder(tmp_path / "first"), write_folder(tmp_path / "second")
    images = sorted((second).rglob("*.png"))
    for i, path in enumerate(images):  # The same names, other pictures.
        Image.fromarray(pictures(1, 12, 10, seed=100 + i)[0]).save(path)
    chosen = config(tmp_path, tmp_path, source=f"mixture:{first}+{second}", target=str(second), target_fraction=0.4)
    problem = load(chosen, tmp_path)
    source = problem.source
    assert source.planted_kinds is not None
    counts = [int((source.planted_kinds == kind).sum()) for kind in (str(first), str(second))]
    assert counts == [30, 18]
    held = {image.tobytes() for part in (problem.target.train, problem.target.validation) for image in part.images}
    held |= {image.tobytes() for image in problem.target.test.images}
    assert len(held) == 12
    assert not held & {image.tobytes() for image in source.images}


def test_the_whole_target_leaves_the_source_alone(root: Path, tmp_path: Path) -> None:
    problem = load(config(root, tmp_path), tmp_path)
    assert len(problem.target.train) + len(problem.target.validation) == 30
    assert len(problem.source) == 90


def test_members_with_colours_make_the_pool_colourful(root: Path, tmp_path: Path) -> None:
    images = np.stack([pictures(30, 8, 8, seed=5, colours=1)] * 3, axis=-1)
    np.savez(root / "colour-train.npz", images=images, labels=LABELS)
    reader, request = resolve("mixture:one+colour", option="source", image_size=8, data_root=root)
    part = reader.source(request)
    assert part.channels == 3
    assert part.read(0).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mixture", "names fewer than two data sets"),
        ("mixture:one", "names fewer than two data sets"),
        ("mixture:one+", "names fewer than two data sets"),
        ("mixture:one+two+one", "names 'one' twice"),
        ("mixture:one+mixture:two", "has a mixture inside"),
        ("mixture:one+four", "'four' is not known"),
    ],
)
def test_bad_specifications(spec: str, message: str, root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load(config(root, tmp_path, source=spec), tmp_path)


def test_labels_outside_their_range_are_refused(root: Path, tmp_path: Path) -> None:
    images = pictures(len(LABELS), 8, 8, colours=1)
    for labels in (LABELS + 1, LABELS - 2):
        np.savez(root / "odd-train.npz", images=images, labels=labels, classes=np.array(["a", "b", "c"]))
        with pytest.raises(InputError, match=r"labels must be 30 numbers from -1 \(none\) to 2"):
            load(config(root, tmp_path, target="odd"), tmp_path)


def test_a_target_with_unlabelled_images_is_refused(root: Path, tmp_path: Path) -> None:
    np.savez(root / "part-train.npz", images=pictures(30, 8, 8, colours=1), labels=np.where(LABELS == 2, -1, LABELS))
    with pytest.raises(InputError, match="10 of 30 images of 'part' have no label"):
        load(config(root, tmp_path, target="part"), tmp_path)
    with pytest.raises(InputError, match="have no label"):
        load(config(root, tmp_path, target="part", target_fraction=0.5), tmp_path)


def test_torchvisions_sets_are_shared_out_as_well(sample_root: Path, tmp_path: Path) -> None:
    fields = {"source": "mixture:mnist+fashion-mnist", "target": "mnist", "data_root": str(sample_root)}
    whole = load(config(tmp_path, tmp_path, **fields), tmp_path)
    shared = load(config(tmp_path, tmp_path, **fields, target_fraction=0.4), tmp_path)
    own = len(shared.target.train) + len(shared.target.validation)
    assert 0 < own < len(whole.target.train) + len(whole.target.validation)
    assert len(shared.source) == len(whole.source) - own


def test_images_of_another_set_stay_whatever_they_are_called(sample_root: Path, tmp_path: Path) -> None:
    fields = {"source": "mnist", "target": "fashion-mnist", "data_root": str(sample_root)}
    whole = load(config(tmp_path, tmp_path, **fields), tmp_path)
    shared = load(config(tmp_path, tmp_path, **fields, target_fraction=0.4), tmp_path)
    assert len(shared.source) == len(whole.source)
    assert len(shared.target.train) < len(whole.target.train)
    same = load(config(tmp_path, tmp_path, **{**fields, "target": "mnist"}, target_fraction=0.4), tmp_path)
    assert len(same.source) < len(whole.source)
