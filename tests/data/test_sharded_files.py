"""Parquet, saved data sets and tar shards: which files, which splits, which labels, and what is refused."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sample_sets import (
    LABELS,
    encode,
    image_table,
    pictures,
    write_folder,
    write_parquet,
    write_saved_dataset,
    write_tar,
    write_tars,
)

from bdw.config import DataConfig
from bdw.data import load
from bdw.data.instances import Part, Skipped, UndecodableImageError
from bdw.data.readers import addresses, resolve
from bdw.errors import InputError
from bdw.storage.remote_folder import RemoteFolder


def parts(spec: Path | str, **options: int) -> dict[str, Part]:
    reader, request = resolve(str(spec), option="target", image_size=8, **options)
    return {str(split): part for split, part in reader.target(request).items()}


def source(spec: Path | str) -> Part:
    reader, request = resolve(str(spec), option="source", image_size=8)
    return reader.source(request)


def pixels(seed: int, i: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """What Pillow makes of the i-th sample image."""
    file = io.BytesIO(encode(pictures(len(LABELS), 12, 14, seed=seed)[i], "JPEG"))
    with Image.open(file) as image:
        image.draft(None, (16, 16))
        square = image.convert("RGB").resize((8, 8), Image.Resampling.BILINEAR, box=(1, 0, 13, 12))
    return np.asarray(square).transpose(2, 0, 1)


@pytest.mark.parametrize("kind", ["parquet", "huggingface", "tar"])
def test_splits_labels_and_images_are_those_that_were_written(kind: str, tmp_path: Path) -> None:
    write = {"parquet": write_parquet, "huggingface": write_saved_dataset, "tar": write_tars}[kind]
    folder = write(tmp_path / "data set")
    reader, _ = resolve(str(folder), option="target", image_size=8)
    assert reader.name == kind
    found = parts(folder)
    assert set(found) == {"train", "test"}
    for seed, split in enumerate(("train", "test")):
        part = found[split]
        assert part.labels.tolist() == LABELS.tolist()
        assert part.classes == (("0", "1", "2") if kind == "tar" else ("a", "b", "c"))
        for i in (0, 8, 9, 16, 17, 29, 3):  # Both sides of every border of row groups and files, and back.
            np.testing.assert_array_equal(part.read(i), pixels(seed, i))
    names = list(found["train"].names)
    expected = {"tar": "train-000001/0014.jpg"}.get(kind, "0/014.jpg")
    assert names[14] == expected
    assert list(source(folder).names) == names, "a pool never takes the test images"


def test_images_without_paths_are_named_by_their_rows(tmp_path: Path) -> None:
    pq.write_table(image_table(paths=False), tmp_path / "pool.parquet")
    assert source(tmp_path / "pool.parquet").names[29] == "pool/000029"
    write_saved_dataset(tmp_path / "saved", paths=False)
    assert source(tmp_path / "saved").names[11] == "data-00001-of-00002/000000"


def test_a_binary_column_is_a_column_of_images_and_names_may_be_labels(tmp_path: Path) -> None:
    files = [encode(image, "PNG") for image in pictures(3, 9, 9)]
    table = pa.table({"text": ["x", "y", "z"], "photo": pa.array(files, pa.large_binary()), "class": ["b", None, "a"]})
    pq.write_table(table, tmp_path / "x.parquet")
    part = parts(f"parquet:{tmp_path}/x.parquet")["train"]
    assert part.labels.tolist() == [1, -1, 0]
    assert part.classes == ("a", "b")
    assert part.read(2).shape == (3, 8, 8)


def test_an_unlabelled_split_is_the_pool(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set")
    pq.write_table(image_table(seed=2, labelled=False), tmp_path / "set" / "data" / "unlabeled-0-of-1.parquet")
    found = source(f"parquet:{tmp_path}/set")
    assert found.names[0] == "2/000.jpg"
    assert set(found.labels) == {-1}


@pytest.mark.parametrize("label", ["cls", "json", None])
def test_labels_in_tar_shards(label: str | None, tmp_path: Path) -> None:
    part = parts(write_tar(tmp_path / "x.tar", label=label))["train"]
    assert part.labels.tolist() == ([-1] * len(LABELS) if label is None else LABELS.tolist())
    assert part.classes == {"cls": ("0", "1", "2"), "json": ("a", "b", "c"), None: ()}[label]


def test_what_is_no_image_in_a_shard_is_passed_over(tmp_path: Path) -> None:
    photo = encode(pictures(1, 9, 9)[0], "PNG")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, contents in (("b/1.png", photo), ("a/.1.png", photo), ("__MACOSX/1.png", photo), ("c.raw", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
        link = tarfile.TarInfo("d.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    part = source(tmp_path / "x.tar")
    assert list(part.names) == ["x/b/1.png"]
    assert list(part.unused) == [Skipped("x.tar/c.raw", "a camera's raw format, which is not read")]


def test_cells_without_an_image_are_skipped_with_their_reason(tmp_path: Path) -> None:
    images = [{"bytes": None, "path": "/etc/hostname"}, {"bytes": b"no image", "path": None}, None]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    pq.write_table(pa.table({"image": pa.array(images, kind)}), tmp_path / "x.parquet")
    part = source(tmp_path / "x.parquet")
    reasons = ["has a path alone", "not an image in a known format", "is empty"]
    for i, reason in enumerate(reasons):
        with pytest.raises(UndecodableImageError, match=reason):
            part.read(i)


def test_a_folder_of_images_stays_one_whatever_lies_beside_them(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos")
    pq.write_table(pa.table({"name": ["x"]}), folder / "scores.parquet")
    write_tar(folder / "backup.tar")
    assert resolve(str(folder), option="source", image_size=8)[0].name == "folder"
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.new("RGB", (9, 9)).save(flat / "a.png")
    pq.write_table(pa.table({"name": ["x"]}), flat / "scores.parquet")
    assert resolve(str(flat), option="source", image_size=8)[0].name == "folder"


def test_a_run_can_be_loaded_from_shards(tmp_path: Path) -> None:
    write_tars(tmp_path / "tars")
    write_parquet(tmp_path / "hub")
    config = DataConfig(
        source=f"{tmp_path}/tars",
        target=f"{tmp_path}/hub",
        cache_dir=str(tmp_path / "cache"),
        image_size=8,
        crop_size=8,
    )
    problem = load(config, tmp_path)
    assert len(problem.source) == len(LABELS)
    assert len(problem.target.test) == len(LABELS)
    assert problem.target.classes == ("a", "b", "c")


def write_text(path: Path, contents: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(contents)
    return path


def two_image_columns(path: Path) -> Path:
    files = pa.array([b"x"], pa.binary())
    pq.write_table(pa.table({"left": files, "right": files}), path)
    return path


def unnamed_shard(path: Path) -> Path:
    write_parquet(path)
    pq.write_table(image_table(), path / "data" / "more.parquet")
    return path


def no_training_shards(path: Path) -> Path:
    write_tar(path / "test-0.tar")
    return path


def compressed(path: Path) -> Path:
    with tarfile.open(path, "w:gz"):
        pass
    return path


def escaping(path: Path) -> Path:
    write_saved_dataset(path)
    state = {"_data_files": [{"filename": "../test/data-00000-of-00002.arrow"}]}
    (path / "train" / "state.json").write_text(json.dumps(state))
    return path


@pytest.mark.parametrize(
    ("spec", "make", "message"),
    [
        ("parquet:{}/x.parquet", lambda p: write_text(p / "x.parquet", "no"), r"x\.parquet' cannot be read"),
        ("{}/x.parquet", lambda p: two_image_columns(p / "x.parquet"), "2 columns could hold images.*left, right"),
        ("{}/x.parquet", lambda p: pq.write_table(pa.table({"a": [1]}), p / "x.parquet"), "no column holds images"),
        ("parquet:{}/e", lambda p: (p / "e").mkdir(), r"holds no \.parquet files"),
        ("{}/hub", lambda p: unnamed_shard(p / "hub"), "more.parquet' lies beside shards of test, train"),
        ("{}/tars", lambda p: no_training_shards(p / "tars"), "has test but no shards for training"),
        ("tar:{}/x.tar", lambda p: compressed(p / "x.tar"), "cannot be read.*an uncompressed .tar file"),
        ("{}/x.tar", lambda p: write_text(p / "x.tar", ""), "holds no images|cannot be read"),
        ("{}/saved", lambda p: write_text(p / "saved" / "dataset_dict.json", "[]"), "holds no JSON object"),
        ("{}/saved", lambda p: escaping(p / "saved"), "names no data files"),
        ("huggingface:{}", lambda p: None, r"state\.json' cannot be read"),
    ],
)
def test_what_cannot_work_is_one_line(spec: str, make: object, message: str, tmp_path: Path) -> None:
    make(tmp_path)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as error:
        parts(spec.format(tmp_path))
    assert str(error.value).startswith("target: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("reader", "below"), [("tar", ""), ("tar", "/train-000001.tar"), ("parquet", "")])
def test_shards_at_an_address_are_fetched_once(
    reader: str, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "CACHE", str(tmp_path / "cache"))
    folder = {"tar": write_tars, "parquet": write_parquet}[reader](tmp_path / "here")
    remote = RemoteFolder.at(f"file://{tmp_path}/storage/set")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            remote.push(path, str(path.relative_to(folder)))
    spec = f"{reader}:file://{tmp_path}/storage/set{below}"
    here, there = source(f"{reader}:{folder}{below}"), source(spec)
    assert list(there.names) == list(here.names)
    np.testing.assert_array_equal(there.read(3), here.read(3))
    assert dict(source(spec).fingerprint) == dict(there.fingerprint)
    with pytest.raises(InputError, match="holds nothing; allowed: a folder of files, or a file, for the reader"):
        source(f"{reader}:file://{tmp_path}/storage/none")
