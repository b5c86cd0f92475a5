"""STL-10 and CIFAR from small files in the authors' binary formats; downloads without a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_sets import LABELS, pictures, write_cifar, write_stl10

from bdw.data import pack
from bdw.data.readers import resolve
from bdw.errors import InputError


def test_stl10_pixels_and_labels(sample_root: Path, tmp_path: Path) -> None:
    store = pack("stl10", tmp_path / "train", 96, part="train", data_root=sample_root)
    np.testing.assert_array_equal(store.images, pictures(30, 96, 96, seed=0).transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(store.labels, LABELS)
    pool = pack("stl10", tmp_path / "pool", 96, data_root=sample_root)
    np.testing.assert_array_equal(pool.images, pictures(30, 96, 96, seed=2).transpose(0, 3, 1, 2))
    assert set(pool.labels.tolist()) == {-1}
    assert pool.classes == ()


def test_cifar10_batches_follow_each_other(sample_root: Path, tmp_path: Path) -> None:
    store = pack("cifar10", tmp_path / "train", 32, part="train", data_root=sample_root)
    assert len(store) == 150
    for batch in range(5):
        expected = pictures(30, 32, 32, seed=batch).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(store.images[30 * batch : 30 * batch + 30], expected)
    np.testing.assert_array_equal(store.labels, np.tile(LABELS, 5))


def test_cifar100_has_fine_labels(sample_root: Path, tmp_path: Path) -> None:
    store = pack("cifar100", tmp_path / "test", 32, part="test", data_root=sample_root)
    np.testing.assert_array_equal(store.images, pictures(30, 32, 32, seed=1).transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(store.labels, LABELS)
    assert store.classes == ("a", "b", "c")


def test_the_folder_itself_may_be_named(sample_root: Path, tmp_path: Path) -> None:
    assert len(pack(f"stl10:{sample_root}/stl10_binary", tmp_path / "pool", 8)) == 30


def test_truncated_file(tmp_path: Path) -> None:
    write_stl10(tmp_path)
    file = tmp_path / "stl10_binary" / "unlabeled_X.bin"
    os.truncate(file, file.stat().st_size - 5)
    with pytest.raises(InputError, match=r"unlabeled_X.bin' has \d+ bytes, not a multiple of 27648"):
        pack("stl10", tmp_path / "out", 8, data_root=tmp_path)


def test_missing_file(tmp_path: Path) -> None:
    write_cifar(tmp_path, 10)
    (tmp_path / "cifar-10-batches-bin" / "data_batch_4.bin").unlink()
    with pytest.raises(InputError, match=r"data_batch_4.bin' is missing; the data set is incomplete"):
        pack("cifar10", tmp_path / "out", 8, data_root=tmp_path)


def test_labels_that_do_not_match(tmp_path: Path) -> None:
    write_stl10(tmp_path)
    (tmp_path / "stl10_binary" / "train_y.bin").write_bytes(bytes([1] * 29))
    with pytest.raises(InputError, match="labels of train do not match its 30 images"):
        pack("stl10", tmp_path / "out", 8, part="train", data_root=tmp_path)


@pytest.mark.parametrize("name", ["stl10", "cifar10", "cifar100"])
def test_download_goes_through_the_checked_downloader(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, str, str]] = []

    def download(url: str, root: str, filename: str, md5: str) -> None:
        calls.append((url, filename, md5))
        write_stl10(Path(root)) if name == "stl10" else write_cifar(Path(root), int(name.removeprefix("cifar")))

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", download)
    for _ in range(2):  # The second time it is there.
        reader, request = resolve(name, option="source", image_size=8, data_root=tmp_path, download=True)
        assert len(reader.source(request)) >= 30
    ((url, filename, md5),) = calls
    assert url.endswith(filename)
    assert len(md5) == 32


def test_failed_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", download)
    with pytest.raises(InputError, match=r"download of http.* failed: File not found or corrupted"):
        pack("cifar10", tmp_path / "out", 8, data_root=tmp_path, download=True)
