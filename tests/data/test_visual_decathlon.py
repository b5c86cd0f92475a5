"""The Visual Decathlon's own layout: what its lists say, new splits, and what a half-copied directory lacks."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_sets import write_decathlon

from bdw.config import DataConfig, RunConfig
from bdw.data import load
from bdw.data.problem import planned_target
from bdw.data.readers import resolve, visual_decathlon
from bdw.errors import InputError
from bdw.training.trainer import Trainer

DOMAINS = ("imagenet12", "aircraft", "dtd")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_decathlon(tmp_path, DOMAINS)
    return tmp_path


def config(root: Path, **fields: Any) -> DataConfig:
    return DataConfig(
        source="decathlon-imagenet12",
        target="decathlon-aircraft",
        data_root=str(root),
        cache_dir=str(root / "packed"),
        image_size=16,
        crop_size=16,
        **fields,
    )


def edit(root: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    file = root / "decathlon-1.0" / "annotations" / name
    contents = json.loads(file.read_text())
    change(contents)
    file.write_text(json.dumps(contents))


def test_labels_follow_the_image_ids_and_class_names_the_category_ids(root: Path) -> None:
    reader, request = resolve("decathlon-aircraft", option="target", image_size=16, data_root=root)
    parts = reader.target(request)
    assert {split: len(part) for split, part in parts.items()} == {"train": 21, "test": 9}
    for part in parts.values():
        assert part.classes == ("a", "b", "c")
        # The sample's folders are numbered like its categories.
        assert [label + 1 for label in part.labels] == [int(Path(name).parent.name) for name in part.names]
    assert parts["train"].names[0] == "aircraft/train/0001/000001.jpg"
    assert all(name.startswith("aircraft/val/") for name in parts["test"].names), "test images have no labels"


def test_a_source_is_train_alone(root: Path) -> None:
    reader, request = resolve("decathlon-imagenet12", option="source", image_size=16, data_root=root)
    assert len(reader.source(request)) == 21
    (root / "decathlon-1.0" / "annotations" / "imagenet12_val.json").unlink()
    assert len(reader.source(request)) == 21


def test_either_folder_may_be_the_root(root: Path) -> None:
    for given in (root, root / "decathlon-1.0"):
        for spec, data_root in (("decathlon-dtd", given), (f"decathlon-dtd:{given}", None)):
            reader, request = resolve(spec, option="target", image_size=16, data_root=data_root)
            assert len(reader.target(request)["train"]) == 21


def test_val_is_the_test_split_and_validation_is_drawn_from_train_by_the_data_seed(root: Path) -> None:
    problem = load(config(root), root)
    parts = problem.target.train, problem.target.validation, problem.target.test
    assert [np.bincount(part.labels).tolist() for part in parts] == [[6, 6, 6], [1, 1, 1], [3, 3, 3]]
    images = [{image.tobytes() for image in part.images} for part in parts]
    assert sum(map(len, images)) == len(set.union(*images)) == 30
    assert not set.union(*images) & {image.tobytes() for image in problem.source.images}
    other = load(config(root, data_seed=1), root)
    assert other.target.key == problem.target.key, "the same images"
    assert np.array_equal(other.target.test.images, problem.target.test.images)
    assert not np.array_equal(other.target.validation.images, problem.target.validation.images)


def test_an_episode_that_classes_are_too_small_for_is_refused_with_the_largest_that_fits(root: Path) -> None:
    run = RunConfig().replace(
        **vars(config(root)), run_dir=str(root / "run"), batch_size=16, ways=3, shots=5, queries=2
    )
    with pytest.raises(InputError, match=r"class 'a' has 6; the largest episode that fits has 3 ways and N \+ Q = 6"):
        Trainer(run)
    assert not list((root / "packed").glob("*")), "before any image is read"


def test_a_plan_reads_no_image(root: Path) -> None:
    for file in (root / "decathlon-1.0" / "data").rglob("*.jpg"):
        file.write_bytes(b"")
    assert len(planned_target(config(root)).shares["test"].rows) == 9


def test_categories_of_one_name_are_told_apart(root: Path) -> None:
    for name in ("aircraft_train.json", "aircraft_val.json"):
        edit(root, name, lambda contents: [kind.update(name="a") for kind in contents["categories"][:2]])
    reader, request = resolve("decathlon-aircraft", option="target", image_size=16, data_root=root)
    assert reader.target(request)["train"].classes == ("a (20000001)", "a (20000002)", "c")


def test_all_that_is_missing_is_said_at_once(root: Path) -> None:
    base = root / "decathlon-1.0"
    (base / "annotations" / "aircraft_val.json").unlink()
    shutil.rmtree(base / "data" / "dtd")
    (base / "data" / "dtd.tar").touch()
    for number in (2, 5):
        (base / f"data/imagenet12/train/0002/{number:06d}.jpg").unlink()
    shutil.rmtree(base / "data" / "aircraft" / "train" / "0003")
    targets = ("decathlon-aircraft", "decathlon-dtd", "stl10", "decathlon-svhn")
    with pytest.raises(InputError) as caught:
        visual_decathlon.require_whole(root, source="decathlon-imagenet12", targets=targets)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "7 of 21 images of aircraft train, data/aircraft/train/0003/000003.jpg for one; annotations/aircraft_val.json",
        "data/dtd, only data/dtd.tar",
        "data/svhn; annotations/svhn_train.json; annotations/svhn_val.json",
        "2 of 21 images of imagenet12 train, data/imagenet12/train/0002/000002.jpg for one",
    ):
        assert part in message
    reader, request = resolve("decathlon-dtd", option="target", image_size=16, data_root=root)
    with pytest.raises(InputError, match=r"^target: .* missing: data/dtd, only data/dtd.tar \("):
        reader.target(request)


def test_other_data_need_no_decathlon(tmp_path: Path) -> None:
    visual_decathlon.require_whole(tmp_path, source="imagenet-mini", targets=("cifar10",))
    with pytest.raises(InputError, match=r"^data_root: no decathlon-1.0/annotations in"):
        visual_decathlon.require_whole(tmp_path, source="imagenet-mini", targets=("decathlon-dtd",))


BROKEN: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda contents: contents.pop("annotations"), "lacks 'annotations'"),
    (lambda contents: contents["annotations"].pop(), "lacks 20000001"),
    (lambda contents: contents["categories"].pop(), "category_id 20000003 is not among its categories"),
    (lambda contents: contents["images"][0].update(file_name="data/../../x.jpg"), "lies outside of decathlon-1.0"),
    (lambda contents: contents["images"][0].update(id=20000002), "it lists an image twice"),
    (lambda contents: contents["annotations"].append({"image_id": 20000001, "category_id": 7}), "has two categories"),
    (lambda contents: contents.update(images=[]), "it lists no images"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_broken_lists_are_refused(root: Path, change: Callable[[dict[str, Any]], Any], said: str) -> None:
    edit(root, "aircraft_train.json", change)
    with pytest.raises(InputError, match=rf"aircraft_train\.json' is not a list .*{re.escape(said)}"):
        planned_target(config(root))


def test_no_json_and_images_in_both_lists_are_refused(root: Path) -> None:
    base = root / "decathlon-1.0" / "annotations"
    shutil.copy(base / "aircraft_train.json", base / "aircraft_val.json")
    with pytest.raises(InputError, match="train and val have images in common"):
        planned_target(config(root))
    (base / "aircraft_val.json").write_text("{")
    with pytest.raises(InputError, match=r"aircraft_val\.json' is not a list"):
        planned_target(config(root))
