"""Packed once for all machines: stores and their manifest at an address, fetched without the original images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sample_sets import write_encoded_npz, write_folder

from bdw.config import DataConfig, RunConfig
from bdw.config.identity import digest, settings
from bdw.data import describe, load, pack
from bdw.data import problem as problems
from bdw.data.manifest import Manifest, SharedStores
from bdw.data.readers import addresses
from bdw.data.remote_stores import push_store
from bdw.errors import InputError
from bdw.storage.remote_folder import RemoteFolder, below


@pytest.fixture(autouse=True)
def default_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (addresses, problems):
        monkeypatch.setattr(module, "CACHE", str(tmp_path / "default"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_folder(tmp_path / "images" / "target", splits=True)
    return write_folder(tmp_path / "images" / "pool")


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"file://{tmp_path}/storage/packed"


def config(images: Path, address: str | None, cache: Path, **fields: object) -> DataConfig:
    values = {"source": str(images), "target": str(images.parent / "target"), "image_size": 8, "crop_size": 8} | fields
    return DataConfig(**values, cache_dir=str(cache), cache_address=address)  # type: ignore[arg-type]


def machine(tmp_path: Path, name: str) -> Path:
    return tmp_path / name / "cache"


def test_another_machine_needs_no_images(tmp_path: Path, images: Path, s3_address: str) -> None:
    first = load(config(images, s3_address, machine(tmp_path, "one")), tmp_path / "run")
    plain = load(config(images, None, machine(tmp_path, "plain")), tmp_path / "run")
    shutil.rmtree(images.parent)
    second = load(config(images, s3_address, machine(tmp_path, "two")), tmp_path / "run")
    for other in (first, second):
        assert other.source.content_key == plain.source.content_key
        assert other.target.key == plain.target.key
        assert other.target.classes == plain.target.classes
        for split in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(other.target, split).labels, getattr(plain.target, split).labels)
            np.testing.assert_array_equal(getattr(other.target, split).images, getattr(plain.target, split).images)
    assert second.source.path.is_relative_to(machine(tmp_path, "two"))
    assert sorted(path.suffix for path in machine(tmp_path, "two").iterdir() if path.is_dir()) == ["", "", ""]


def test_a_description_needs_neither_images_nor_stores(
    tmp_path: Path, images: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = config(images, address, machine(tmp_path, "one"))
    loaded = load(chosen, tmp_path / "run")
    shutil.rmtree(images.parent)
    (names,) = {path.name for path in (tmp_path / "storage" / "packed").glob("*.json")}
    assert names.startswith("pool-for-target-")
    for folder in (tmp_path / "storage" / "packed").iterdir():
        if folder.is_dir():
            (folder / "images.npy").unlink()
    found = describe(config(images, address, machine(tmp_path, "two")), tmp_path / "run")
    assert found == loaded.description
    assert (found.num_source, found.source_kinds) == (30, {})
    assert (found.classes, found.class_counts) == (("a", "b", "c"), (8, 8, 8))
    assert not machine(tmp_path, "two").exists()


def test_without_an_address_a_description_is_that_of_what_is_loaded(tmp_path: Path, images: Path) -> None:
    chosen = config(images, None, machine(tmp_path, "one"), source="digits", max_source=40)
    found, loaded = describe(chosen, tmp_path / "run"), load(chosen, tmp_path / "run")
    assert found == loaded.description
    assert sum(found.source_kinds.values()) == found.num_source == 40
    assert set(found.source_kinds) == set(loaded.source.planted_kinds.tolist())


@pytest.mark.parametrize("by", ["address", "name"])
def test_a_source_that_is_packed_at_an_address_stays_there(tmp_path: Path, images: Path, address: str, by: str) -> None:
    store = pack("digits", tmp_path / "here", 8)
    root = f"file://{tmp_path}/storage/data"
    push_store(store, RemoteFolder.at(below(root, "pool")))
    source = {"source": below(root, "pool")} if by == "address" else {"source": "pool", "data_root": root}
    chosen = config(images, address, machine(tmp_path, "head"), **source)
    found = describe(chosen, tmp_path / "run")
    assert (found.num_source, found.source_key) == (len(store), store.content_key)
    assert sum(found.source_kinds.values()) == len(store)
    assert not [path for path in machine(tmp_path, "head").rglob("images.npy") if "pool" in str(path)], "fetched"
    assert not list((tmp_path / "storage" / "packed").glob("pool*/")), "copied"
    there = load(config(images, address, machine(tmp_path, "two"), **source), tmp_path / "run")
    assert there.description == found
    # A run that comes first does not copy it either.
    other = f"file://{tmp_path}/storage/other"
    assert load(config(images, other, machine(tmp_path, "one"), **source), tmp_path / "run").description == found
    assert not list((tmp_path / "storage" / "other").glob("pool*/")), "copied"
    with pytest.raises(InputError, match=r"image_size: 9 asked for, but '.*pool' was packed at 8"):
        describe(config(images, address, machine(tmp_path, "head"), image_size=9, **source), tmp_path / "run")
    # Who wants a part of it packs that part.
    part = describe(config(images, address, machine(tmp_path, "head"), max_source=50, **source), tmp_path / "run")
    assert part.num_source == 50


def test_other_splits_share_their_stores(tmp_path: Path, images: Path, address: str) -> None:
    load(config(images, address, machine(tmp_path, "one")), tmp_path / "run")
    stores = sorted(path.name for path in (tmp_path / "storage" / "packed").iterdir() if path.is_dir())
    assert len(stores) == 3
    found = describe(config(images, address, machine(tmp_path, "one"), max_train_per_class=4), tmp_path / "run")
    assert found.class_counts == (4, 4, 4)
    assert stores == sorted(path.name for path in (tmp_path / "storage" / "packed").iterdir() if path.is_dir())


def test_checks_see_what_was_fetched(tmp_path: Path, images: Path, address: str) -> None:
    chosen = config(images, address, machine(tmp_path, "one"))
    load(chosen, tmp_path / "run")
    seen: list[object] = []
    load(chosen, tmp_path, check_target=lambda labels, classes: seen.append(classes), check_source=seen.append)
    assert seen == [("a", "b", "c"), 30]


def test_it_is_no_part_of_a_runs_identity() -> None:
    plain = RunConfig()
    assert digest(settings(plain.replace(cache_address="s3://b/packed"))) == digest(settings(plain))


def test_damage_is_one_line(tmp_path: Path, images: Path, address: str) -> None:
    chosen = config(images, address, machine(tmp_path, "one"))
    load(chosen, tmp_path / "run")
    shared = tmp_path / "storage" / "packed"
    file = shared / SharedStores(chosen).manifest_name
    whole = file.read_text()
    for text in (
        "{",
        "[]",
        "{}",
        json.dumps(json.loads(whole) | {"version": 9}),
        json.dumps({"format": "bdw-manifest"}),
    ):
        file.write_text(text)
        with pytest.raises(
            InputError, match=r"^cache_address: .* is no manifest \(.*\); delete it, and it is made anew$"
        ):
            load(chosen, tmp_path / "run")
    file.write_text(whole)
    source = shared / Manifest.parse(whole, "").source
    header = json.loads((source / "header.json").read_text())
    (source / "header.json").write_text(json.dumps(header | {"content_key": "0" * 16}))
    with pytest.raises(
        InputError, match=r"^cache_address: the store at pool-.* has changed since|do not match the checks"
    ):
        load(config(images, address, machine(tmp_path, "two")), tmp_path / "run")
    shutil.rmtree(source)
    with pytest.raises(InputError, match=r"^cache_address: there is no packed data set at .*, which pool-for-target-"):
        load(config(images, address, machine(tmp_path, "two")), tmp_path / "run")
    with pytest.raises(InputError, match=r"^cache_address: 'nonsense://x' cannot be used"):
        load(config(images, "nonsense://x", machine(tmp_path, "two")), tmp_path / "run")


def test_an_npz_below_a_data_root_at_an_address(tmp_path: Path, address: str) -> None:
    root = tmp_path / "storage" / "data"
    root.mkdir(parents=True)
    write_encoded_npz(root / "birds-train.npz")
    names = {"source": "birds", "target": "birds", "data_root": f"file://{root}"}
    first = describe(config(root, address, machine(tmp_path, "one"), **names), tmp_path / "run")
    shutil.rmtree(root)
    second = load(config(root, address, machine(tmp_path, "two"), **names), tmp_path / "run")
    assert second.description == first
