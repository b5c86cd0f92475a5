"""Data at an address: the same images as from a folder, fetched once where a reader needs files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_sets import encode, pictures, write_cifar, write_encoded_npz, write_folder, write_raw_npz

from bdw.config import DataConfig
from bdw.data import PackedDataset, load, pack
from bdw.data.problem import cache_folder
from bdw.data.readers import addresses, image_objects
from bdw.data.remote_stores import fetch_store, header_at, push_store
from bdw.errors import InputError
from bdw.storage.remote_folder import RemoteFolder, below


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(addresses, "CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("bdw.data.problem.CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["file", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty folder in a storage."""
    return f"file://{tmp_path}/storage" if request.param == "file" else str(request.getfixturevalue("s3_address"))


def upload(folder: Path, address: str) -> None:
    remote = RemoteFolder.at(address)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            remote.push(path, str(path.relative_to(folder)))


def config(source: str, target: str | None = None, **fields: object) -> DataConfig:
    return DataConfig(source=source, target=target or source, image_size=8, crop_size=8, **fields)  # type: ignore[arg-type]


def require_same(one: PackedDataset, other: PackedDataset) -> None:
    assert one.names.tolist() == other.names.tolist()
    assert one.content_key == other.content_key


def test_a_bucket_of_images_is_read_where_it_is(tmp_path: Path, address: str, cache: Path) -> None:
    folder = write_folder(tmp_path / "here", suffix="jpg")
    (folder / "a" / "notes.txt").write_text("no image")
    (folder / "a" / "broken.jpg").write_bytes(b"no image either")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.jpg").write_bytes(encode(pictures(1, 9, 9)[0], "JPEG"))
    (folder / "b" / ".hidden.png").write_bytes(b"")
    upload(folder, address)
    here, there = load(config(str(folder)), tmp_path / "run"), load(config(address), tmp_path / "run")
    require_same(there.source, here.source)
    assert there.target.key == here.target.key
    assert there.target.classes == ("a", "b", "c")
    assert there.source.header["skipped"] == here.source.header["skipped"]
    assert {path.suffix for path in cache.rglob("*") if path.is_file()} <= {".npy", ".json", ".lock"}


def test_splits_are_known_at_an_address(tmp_path: Path, address: str) -> None:
    folder = write_folder(tmp_path / "here", splits=True)
    upload(folder, address)
    here, there = load(config(str(folder)), tmp_path), load(config(address), tmp_path)
    assert there.target.key == here.target.key
    assert len(there.target.test) == 30


def test_deep_images_of_a_bucket_have_one_range(tmp_path: Path, address: str) -> None:
    from PIL import Image

    folder = tmp_path / "here"
    folder.mkdir()
    for i, white in enumerate((900, 4000)):
        Image.fromarray(np.full((9, 9), white, dtype=np.uint16)).save(folder / f"{i}.png")
    upload(folder, address)
    here, there = pack(str(folder), tmp_path / "a", 8), pack(address, tmp_path / "b", 8)
    require_same(there, here)
    assert "12 bits" in there.remarks[0]


def test_an_image_that_has_gone_is_skipped_and_one_that_fails_is_asked_for_again(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bdw.storage.retry.FIRST_PAUSE", 0.001)
    folder = write_folder(tmp_path / "here")
    upload(folder, address)
    read, failures = RemoteFolder.read, iter([OSError("503 Slow Down")] * 3)

    def fail(self: RemoteFolder, name: str) -> bytes:
        if name == "a/000.png":
            raise FileNotFoundError(2, "No such file", name)
        if name == "b/001.png" and (error := next(failures, None)) is not None:
            raise error
        return read(self, name)

    monkeypatch.setattr(RemoteFolder, "read", fail)
    store = pack(address, tmp_path / "packed", 8)
    assert [entry["name"] for entry in store.header["skipped"]] == ["a/000.png"]
    assert "b/001.png" in store.names
    # One that goes on failing may be there another time, so it is no verdict on its contents.
    monkeypatch.setattr(image_objects, "SECONDS_TO_READ", 0.0)
    failures = iter([OSError("503 Slow Down")] * 3)
    (skipped, _) = sorted(
        pack(address, tmp_path / "again", 8).header["skipped"], key=lambda e: e["name"] != "b/001.png"
    )
    assert skipped == {"name": "b/001.png", "reason": "503 Slow Down", "unread": True}


def test_a_packed_set_goes_to_an_address_and_comes_back(tmp_path: Path, address: str, cache: Path) -> None:
    here = pack("digits", tmp_path / "here", 8)
    remote = RemoteFolder.at(below(address, "pool"))
    assert header_at(remote) is None
    push_store(here, remote)
    header = header_at(remote)
    assert header is not None
    assert (header["count"], header["content_key"]) == (len(here), here.content_key)
    there = load(config(below(address, "pool"), "digits"), tmp_path / "run").source
    require_same(there, here)
    assert there.path.parent == cache
    np.testing.assert_array_equal(there.planted, here.planted)
    assert fetch_store(remote, header, tmp_path / "elsewhere").planted_kinds.tolist() == here.planted_kinds.tolist()


def test_what_does_not_match_its_checksum_is_refused(tmp_path: Path, address: str, cache: Path) -> None:
    here = pack("digits", tmp_path / "here", 8)
    remote = RemoteFolder.at(address)
    push_store(here, remote)
    images = bytearray((here.path / "images.npy").read_bytes())
    images[-1] ^= 1
    remote.write("images.npy", bytes(images))
    with pytest.raises(InputError, match=r"do not match the checksum in header.json; pack it again$") as caught:
        load(config(address, "digits"), tmp_path / "run")
    assert remote.root in str(caught.value)
    assert ".part" not in str(caught.value)
    # Half a store, whose header has not come yet, is none.
    RemoteFolder.at(address).files.delete_file(f"{remote.root}/header.json")
    with pytest.raises(InputError, match="holds no images"):
        load(config(address, "digits"), tmp_path / "run")


def test_a_fetched_set_that_broke_here_is_fetched_anew(tmp_path: Path, address: str) -> None:
    here = pack("digits", tmp_path / "here", 8)
    push_store(here, RemoteFolder.at(address))
    (load(config(address, "digits"), tmp_path / "run").source.path / "names.npy").unlink()
    require_same(load(config(address, "digits"), tmp_path / "run").source, here)


def test_names_below_a_data_root_at_an_address(tmp_path: Path, address: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_encoded_npz(root / "pool-unlabelled.npz", labelled=False)
    write_encoded_npz(root / "birds-train.npz")
    write_encoded_npz(root / "birds-test.npz", seed=1)
    write_raw_npz(root / "grey.npz")
    write_cifar(root, 10)
    pack("digits", root / "packed", 8)
    upload(root, address)
    for source, target in (
        ("pool", "birds"), ("birds", "grey"), ("cifar10", "cifar10"), ("packed", "digits"),
        ("mixture:pool+grey+digits", "digits"),
    ):  # fmt: skip
        here = load(config(source, target, data_root=str(root)), tmp_path / "run")
        there = load(config(source, target, data_root=address), tmp_path / "run")
        require_same(there.source, here.source)
        assert there.target.key == here.target.key
    with pytest.raises(
        InputError, match=r"source: 'stl10': not found at .*; allowed: a data root that has stl10_binary"
    ):
        load(config("stl10", "birds", data_root=address), tmp_path)
    with pytest.raises(InputError, match="source: 'pol' is not known"):
        load(config("pol", "birds", data_root=address), tmp_path)
    with pytest.raises(
        InputError, match=r"download: cannot go to the data root .*; allowed: a data root that is a fol"
    ):
        load(config("stl10", "birds", data_root=address, download=True), tmp_path)


def test_files_by_their_address(tmp_path: Path, address: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    write_encoded_npz(folder / "birds-train.npz")
    write_encoded_npz(folder / "birds-test.npz", seed=1)
    upload(folder, address)
    for name in ("birds", "birds-train.npz"):
        there = load(config(below(address, name)), tmp_path / "run")
        here = load(config(str(folder / name)), tmp_path / "run")
        require_same(there.source, here.source)
        assert there.target.key == here.target.key
    there = load(config(f"npz:{below(address, 'birds')}"), tmp_path / "run")
    assert there.target.key == here.target.key
    with pytest.raises(
        InputError, match=r"^source: no packed data set at .*; allowed: what `python -m bdw pack` wrote"
    ):
        load(config(f"packed:{below(address, 'birds')}"), tmp_path)
    with pytest.raises(InputError, match=r"^source: reader 'stl10' cannot read .*; allowed: 'stl10' with --data-root"):
        load(config(f"stl10:{below(address, 'birds')}"), tmp_path)


def test_what_cannot_be_reached_is_one_line(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_objects, "SECONDS_TO_LIST", 0.0)
    with pytest.raises(InputError, match="holds no images; allowed: a folder of images"):
        load(config(below(address, "nothing")), tmp_path)
    with pytest.raises(InputError, match="source: 'nonsense://x' cannot be used"):
        load(config("nonsense://x"), tmp_path)


def test_where_data_from_addresses_are_kept(tmp_path: Path, cache: Path) -> None:
    assert cache_folder(config("s3://b/x", "digits"), tmp_path) == cache
    assert cache_folder(config("digits", data_root="gs://b/x"), tmp_path) == cache
    assert cache_folder(config("s3://b/x", cache_dir=str(tmp_path / "c")), tmp_path) == tmp_path / "c"
    assert cache_folder(config("digits"), tmp_path) == tmp_path / "packed"
