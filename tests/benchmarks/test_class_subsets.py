"""That source and target share no picture and the source says nothing of classes: pixels tell which image is which."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bdw.config import RunConfig
from bdw.data import load
from benchmarks.studies.class_subsets import SOURCE, TARGET, ClassSubsets

CLASSES, MEMBERS = 9, 16


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Image m of class c is plain (20 c, 10 m, 0); each class has one more that is no image and a copy of its first."""
    files = []
    for c in range(CLASSES):
        for m in range(MEMBERS):
            stream = io.BytesIO()
            Image.new("RGB", (8, 8), (20 * c, 10 * m, 0)).save(stream, "PNG")
            files.append(stream.getvalue())
        files += [b"no image %d" % c, files[-MEMBERS]]
    order = np.random.default_rng(0).permutation(len(files))
    files = [files[i] for i in order]
    path = tmp_path / "many-train.npz"
    np.savez(
        path, data=np.frombuffer(b"".join(files), np.uint8), offsets=np.cumsum([0, *map(len, files)]),
        labels=order // (MEMBERS + 2), classes=np.array([f"class {c}" for c in range(CLASSES)]),
    )  # fmt: skip
    return path


def drawn(file: Path, seed: int = 0, source: int = 8) -> ClassSubsets:
    """All 17 different files of the target's classes are in use."""
    return ClassSubsets.drawn(file, classes=3, source=source, splits=(5, 2, 2), seed=seed)


@pytest.mark.filterwarnings("ignore:.*decoded")
def test_a_run_gets_other_images_for_the_target_and_no_labels_in_the_source(file: Path, tmp_path: Path) -> None:
    subsets = drawn(file)
    subsets.write(tmp_path)
    config = RunConfig().replace(
        source=str(tmp_path / SOURCE), target=str(tmp_path / TARGET), image_size=8, crop_size=8
    )
    problem = load(config.data, tmp_path / "packed")
    source, target = problem.source, problem.target
    assert (source.labels == -1).all()
    assert source.planted is None

    pool = [tuple(image[:, 4, 4]) for image in np.array(source.images)]
    useful = subsets.useful(list(source.names))
    assert 8 * CLASSES - CLASSES <= len(pool) < 8 * CLASSES, "some are no images"
    assert sorted(set(subsets.class_names)) == sorted(target.classes)
    classes = [int(name.removeprefix("class ")) for name in target.classes]
    assert useful.tolist() == [int(red // 20 in classes) for red, *_ in pool]

    seen = set(pool)
    assert len(seen) == len(pool)
    for split in (target.train, target.validation, target.test):
        own = [tuple(image[:, 4, 4]) for image in split.images]
        assert [red // 20 for red, *_ in own] == [classes[label] for label in split.labels]
        assert not seen & set(own)
        seen |= set(own)
    assert sum(red // 20 in classes for red, *_ in seen) == 3 * MEMBERS
