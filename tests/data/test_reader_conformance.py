"""Every reader passes the same tests, on small data sets in the layout of the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_sets import trust_checksums

from bdw.config import DataConfig
from bdw.data import PackedDataset, available, load
from bdw.data.cache import packed_once
from bdw.data.instances import Part
from bdw.data.readers import resolve
from bdw.data.readers.glyphs import SCRIPTS
from bdw.errors import InputError

SIZE = 8

# Scripts of the rendered pool are one class; of them a small one, and one whose characters differ in fonts, are enough.
ALIKE = {f"glyphs-{script}" for script in SCRIPTS.keys() - {"hebrew", "operators"}}
# Specifications by reader; `{}` is the data root. A new reader needs an entry here.
SPECS = {name: name for name in available() if name not in ALIKE} | {
    "folder": "folder:{}/paths/folder",
    "folder, split": "{}/paths/split_folder",
    "npz": "npz:{}/paths/raw",
    "npz, encoded": "{}/paths/encoded-train.npz",
    "packed": "{}/paths/packed",
    "parquet": "parquet:{}/paths/parquet",
    "parquet, one file": "{}/paths/parquet/data/train-00001-of-00002.parquet",
    "huggingface": "{}/paths/saved",
    "tar": "{}/paths/tars",
    "mixture": "mixture:{0}/paths/raw+digits+{0}/paths/folder",
    "glyphs": "glyphs:images=60",
}
TARGETS_ONLY = {name for name in available() if name.startswith(("digits-", "glyphs-"))}
SOURCES_ONLY = ("mixture", "glyphs:")
DRAWN_HERE = {"digits", "glyphs"} | TARGETS_ONLY


@pytest.fixture(params=SPECS)
def spec(request: pytest.FixtureRequest, sample_root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param in {"svhn", "flowers102", "omniglot"}:
        trust_checksums(monkeypatch)
    return SPECS[request.param].format(sample_root)


def parts(spec: str, root: Path, **options: int) -> dict[str, Part]:
    """All parts of a reader: its source and its target's splits."""
    reader, request = resolve(spec, option="target", image_size=SIZE, data_root=root, **options)
    found: dict[str, Part] = {}
    if not spec.startswith(SOURCES_ONLY):
        found = {str(split): part for split, part in reader.target(request).items()}
    if spec not in TARGETS_ONLY:
        found["source"] = reader.source(request)
    return found


def test_parts_pack_to_what_they_say(spec: str, sample_root: Path, tmp_path: Path) -> None:
    for split, part in parts(spec, sample_root).items():
        store = packed_once(part, tmp_path, split, SIZE)
        assert store.images.shape == (len(part), part.channels, SIZE, SIZE)
        assert store.images.dtype == np.uint8
        assert len(set(store.names.tolist())) == len(part) > 0
        assert store.labels.dtype == np.int64
        assert store.labels.min() >= -1
        assert store.labels.max() < max(len(store.classes), 1)
        store.verify()


def test_index_is_the_instance(spec: str, sample_root: Path, tmp_path: Path) -> None:
    for split, part in parts(spec, sample_root).items():
        store = packed_once(part, tmp_path, split, SIZE)
        for i in (0, len(part) // 2, len(part) - 1):
            assert store.names[i] == part.names[i]
            assert store.labels[i] == part.labels[i]
            np.testing.assert_array_equal(store.images[i], part.read(i))


def test_selection_keeps_identity(spec: str, sample_root: Path, tmp_path: Path) -> None:
    for split, part in parts(spec, sample_root).items():
        chosen = np.array([5, 1, 3])
        store = packed_once(part.select(chosen), tmp_path, split, SIZE)
        assert store.names.tolist() == [part.names[i] for i in chosen]
        np.testing.assert_array_equal(store.labels, part.labels[chosen])
        np.testing.assert_array_equal(store.images[1], part.read(1))


def test_repeatable(spec: str, sample_root: Path, tmp_path: Path) -> None:
    once, again = parts(spec, sample_root), parts(spec, sample_root)
    assert once.keys() == again.keys()
    for split in once:
        assert dict(once[split].fingerprint) == dict(again[split].fingerprint)
        keys = [
            packed_once(p, tmp_path / str(i), split, SIZE).content_key
            for i, p in enumerate((once[split], again[split]))
        ]
        assert keys[0] == keys[1]


@pytest.mark.parametrize("channels", [1, 3])
def test_either_number_of_channels(spec: str, sample_root: Path, channels: int) -> None:
    if spec.endswith("packed") and channels == 1:  # Its channels were settled when it was packed.
        with pytest.raises(InputError, match=r"packed with 3 channel\(s\) but the source has 1"):
            parts(spec, sample_root, channels=channels)
        return
    for part in parts(spec, sample_root, channels=channels).values():
        assert part.channels == channels
        assert part.read(0).shape == (channels, SIZE, SIZE)


def test_loads_as_target_with_disjoint_splits(spec: str, sample_root: Path, tmp_path: Path) -> None:
    config = DataConfig(
        source=f"{sample_root}/paths/split_folder",
        target=spec,
        data_root=str(sample_root),
        cache_dir=str(tmp_path),
        image_size=SIZE,
        crop_size=SIZE,
    )
    if spec.endswith("packed"):
        config = DataConfig(**(vars(config) | {"source": spec}))
    if spec.startswith(SOURCES_ONLY):
        with pytest.raises(InputError, match="is a source only"):
            load(config, tmp_path)
        return
    problem = load(config, tmp_path)
    seen: set[bytes] = set()
    splits = (problem.target.train, problem.target.validation, problem.target.test)
    for split in splits:
        assert set(split.labels.tolist()) == set(range(len(problem.target.classes)))
        assert split.images.shape[1:] == problem.source.images.shape[1:]
        assert len(split) == len(split.images) == len(split.labels)
        contents = {image.tobytes() for image in split.images}
        assert not contents & seen
        seen |= contents
    again = load(config, tmp_path)
    assert again.target.key == problem.target.key
    for split, other in zip(splits, (again.target.train, again.target.validation, again.target.test), strict=True):
        np.testing.assert_array_equal(split.images, other.images)
        np.testing.assert_array_equal(split.labels, other.labels)


def test_loads_as_source(spec: str, sample_root: Path, tmp_path: Path) -> None:
    config = DataConfig(
        source=spec, data_root=str(sample_root), cache_dir=str(tmp_path), image_size=SIZE, crop_size=SIZE, max_source=7
    )
    if spec in TARGETS_ONLY:
        with pytest.raises(InputError, match="is a target only"):
            load(config, tmp_path)
        return
    problem = load(config, tmp_path)
    assert isinstance(problem.source, PackedDataset)
    assert len(problem.source) == 7
    assert problem.target.train.images.shape[1] == problem.source.channels


@pytest.mark.parametrize("name", sorted(set(available()) - DRAWN_HERE))
def test_missing_data_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    for root in (None, tmp_path):
        reader, request = resolve(name, option="source", image_size=SIZE, data_root=root)
        with pytest.raises(InputError) as caught:
            reader.source(request)
        message = str(caught.value)
        assert message.startswith("source: ")
        if name == "mixture":
            assert "allowed: mixture:A+B" in message
        elif name in {"folder", "huggingface", "npz", "packed", "parquet", "tar"}:
            assert f"{name}:PATH" in message
        elif name.startswith("decathlon-"):
            assert "decathlon-1.0-devkit.tar.gz" in message
        else:
            assert "--download --data-root" in message
            assert "torchvision" in message
