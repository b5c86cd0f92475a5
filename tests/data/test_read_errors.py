"""What could not be read is counted and tried again; only what cannot be decoded is remembered."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest
from PIL import Image
from sample_sets import write_folder

from bdw.config import DataConfig
from bdw.data import Problem, load
from bdw.data.readers import image_files
from bdw.data.readers.image_files import find_images


class Disk:
    """Whichever paths are in `failing` cannot be opened."""

    def __init__(self) -> None:
        self.failing: dict[Path, int] = {}

    def check(self, path: object) -> None:
        code = self.failing.get(Path(os.fspath(path))) if isinstance(path, str | os.PathLike) else None
        if code is not None:
            raise OSError(code, os.strerror(code), str(path))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    opens, scans = Image.open, os.scandir

    def open_image(file: object, *args: object) -> Image.Image:
        disk.check(file)
        return opens(file, *args)

    def scandir(path: object) -> object:
        disk.check(path)
        return scans(path)

    monkeypatch.setattr(Image, "open", open_image)
    monkeypatch.setattr(image_files.os, "scandir", scandir)
    return disk


def read(folder: Path, work_dir: Path) -> Problem:
    return load(DataConfig(source=str(folder), target="digits", image_size=8, crop_size=8), work_dir)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_read_errors_are_told_and_tried_again(code: int, disk: Disk, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool")
    (folder / "b" / "001.png").write_text("broken")
    disk.failing = {folder / "a" / "000.png": code, folder / "a" / "003.png": code}
    source = read(folder, tmp_path).source
    assert len(source) == 27
    assert [dict(entry) for entry in source.header["skipped"]] == [
        {"name": "a/000.png", "reason": os.strerror(code), "unread": True},
        {"name": "a/003.png", "reason": os.strerror(code), "unread": True},
        {"name": "b/001.png", "reason": "not an image in a known format"},
    ]
    packed_at = (source.path / "header.json").stat().st_mtime_ns
    again = read(folder, tmp_path).source  # Nothing has changed, so nothing is packed anew.
    assert (again.path / "header.json").stat().st_mtime_ns == packed_at
    disk.failing.popitem()
    assert len(read(folder, tmp_path).source) == 28
    disk.failing.clear()
    assert len(read(folder, tmp_path).source) == 29


def test_a_folder_that_cannot_be_read(disk: Disk, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool")
    disk.failing = {folder / "b": errno.EACCES}
    assert [skipped.entry() for skipped in find_images(folder).unused] == [
        {"name": "b/", "reason": "cannot be read: Permission denied", "unread": True}
    ]
    source = read(folder, tmp_path).source
    assert (len(source), source.header["skipped"][0]["name"]) == (20, "b/")
    disk.failing.clear()
    assert len(read(folder, tmp_path).source) == 30


def test_a_lack_of_memory_is_no_broken_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pool")

    def fail(*arguments: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("bdw.data.decode.fit", fail)
        (folder / "c" / "small.bmp").write_bytes(_bitmap())
        with pytest.raises(Exception, match="no image could be read"):
            read(folder, tmp_path)
    assert len(read(folder, tmp_path).source) == 31


def _bitmap() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(buffer, "BMP")
    return buffer.getvalue()
