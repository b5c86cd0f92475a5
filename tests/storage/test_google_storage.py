"""`gs://` addresses: files, listings, a packed data set, a bucket of images."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bdw.data import pack, pack_arrays
from bdw.data.remote_stores import fetch_store, header_at, push_store
from bdw.errors import InputError
from bdw.storage import fetch
from bdw.storage.fetch import fetch_once
from bdw.storage.remote_folder import RemoteFolder, below


@pytest.fixture
def gs_address() -> Iterator[str]:
    """The address of a folder in a bucket of Google's kind, on this machine."""
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("fake_gcs.py"))], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def test_files_come_back_as_they_were(tmp_path: Path, gs_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_CHUNK", 1000)
    remote = RemoteFolder.at(gs_address)
    contents = {"big.bin": bytes(range(256)) * 40, "in/a/folder.txt": b"deep", "small.txt": b"small"}
    for name, content in contents.items():
        remote.write(name, content)
    listed = remote.listed()
    assert {file.name: file.size for file in listed} == {name: len(content) for name, content in contents.items()}
    here = fetch_once(remote, listed, tmp_path / "pool", what="the pool")
    assert {str(path.relative_to(here)): path.read_bytes() for path in here.rglob("*") if path.is_file()} == contents
    assert (here / "big.bin").stat().st_mtime_ns == listed[0].modified > 0
    assert remote.read_text("nothing") is None
    assert [file.name for file in remote.names_beginning("s")] == ["small.txt"]
    assert remote.under("nowhere").listed() == []


def test_a_packed_set_is_put_there_and_fetched(tmp_path: Path, gs_address: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    store = pack_arrays(tmp_path / "store", images)
    remote = RemoteFolder.at(below(gs_address, "pool"))
    assert header_at(remote) is None
    push_store(store, remote)
    header = header_at(remote)
    assert header is not None
    np.testing.assert_array_equal(fetch_store(remote, header, tmp_path / "cache").images, images)


def test_a_bucket_of_images_is_packed(tmp_path: Path, gs_address: str) -> None:
    rng = np.random.default_rng(0)
    for i in range(6):
        path = tmp_path / "photos" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)).save(path)
        RemoteFolder.at(below(gs_address, "photos")).push(path, path.name)
    there = pack(below(gs_address, "photos"), tmp_path / "there", 8)
    assert there.content_key == pack(str(tmp_path / "photos"), tmp_path / "here", 8).content_key
    with pytest.raises(InputError, match="holds no images"):
        pack(below(gs_address, "nothing"), tmp_path / "nothing", 8)
