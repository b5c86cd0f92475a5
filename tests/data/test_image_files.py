"""Which files below a folder are images, and the account of all others."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFile
from sample_sets import encode, pictures, write_folder

from bdw.config import DataConfig
from bdw.data import image_kinds, load, pack, unused
from bdw.data.image_kinds import why_not_by_content
from bdw.data.readers.image_files import find_images
from bdw.errors import InputError

HEIC = b"\0\0\0\x18ftypheic" + bytes(20)
IMAGE = encode(pictures(1, 9, 9)[0])


def write(root: Path, *names: str, data: bytes = IMAGE) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def account(root: Path) -> dict[str, tuple[str, int]]:
    return {skipped.name: (skipped.reason, skipped.count) for skipped in find_images(root).unused}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF"])
def test_images_are_known_by_their_first_bytes(kind: str, tmp_path: Path) -> None:
    assert why_not_by_content(encode(pictures(1, 40, 40)[0], kind)[:32]) == ""
    write(tmp_path, "hash0", "a.jpg_large", "b.old", data=encode(pictures(1, 9, 9)[0], kind))
    write(tmp_path, "notes", "c.old", data=b"BM: bitmaps, P1 notes, II and MM")
    found = find_images(tmp_path)
    assert found.files == [("a.jpg_large",), ("b.old",), ("hash0",)]
    assert account(tmp_path) == {"notes": ("no image", 1), "c.old": ("no image", 1)}


def test_what_is_not_used_is_counted_by_its_ending(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "b/c.JPG", "b/_d.png")
    write(tmp_path, *(f"x/{i}.txt" for i in range(1200)), ".DS_Store", "x/.thumb.png", "README", data=b"text")
    write(tmp_path, "IMG_1.CR2", "b/IMG_2.dng", "IMG_3.NEF", data=b"II*\0")
    write(tmp_path, "IMG_4.HEIC", "b/IMG_5.heic", data=HEIC)
    store = pack(str(tmp_path), tmp_path.parent / "packed", 8)
    assert store.names.tolist() == ["a.png", "b/_d.png", "b/c.JPG"]
    skipped = store.header["skipped"]
    assert unused.number_of(skipped) == 1208
    raw = "a camera's raw format, which is not read"
    assert sorted(unused.told(skipped).split(", 1 ")[1:]) == [
        f".cr2 ({raw})", f".dng ({raw})", f".nef ({raw})", ".png (a hidden file)",
        "without an ending (a hidden file)", "without an ending (no image)",
    ]  # fmt: skip
    assert unused.told(skipped).startswith(f"1,200 .txt (no image), 2 .heic ({image_kinds.HEIF_NEEDS}), 1 ")
    names = {entry["name"] for entry in skipped}
    assert {"IMG_4.HEIC", "b/IMG_5.heic", "IMG_1.CR2", "b/IMG_2.dng", "IMG_3.NEF", "x/0.txt", "README"} <= names
    assert len(skipped) < 12


def test_kinds_beyond_the_first_are_counted_together() -> None:
    entries = [{"name": f"a.{i:02d}", "reason": f"broken at {i}"} for i in range(40)]
    assert unused.told(entries).endswith(", 10 of other kinds")
    assert unused.told(entries[7:8]) == "1 .07 (broken at 7)"
    assert unused.told([{"name": "a.x", "reason": f"{i} bytes"} for i in range(20)]) == "20 .x (N bytes)"
    assert unused.told([]) == ""


def test_nothing_but_telephone_pictures(tmp_path: Path) -> None:
    write(tmp_path / "phone", "IMG_1.HEIC", "IMG_2.heif", data=HEIC)
    with pytest.raises(
        InputError, match=r"holds no images; allowed: .*; it has 1 .heic \(HEIC.*pillow-heif\), 1 .heif"
    ):
        pack(str(tmp_path / "phone"), tmp_path / "packed", 8)
    write(write_folder(tmp_path / "t"), "z/IMG_1.HEIC", data=HEIC)
    with pytest.raises(InputError, match=r"class folder '.*z' holds no images, only 1 .heic"):
        load(DataConfig(target=str(tmp_path / "t")), tmp_path)


def test_telephone_pictures_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_kinds, "reads_heif", lambda: True)
    write(tmp_path, "IMG_1.HEIC", data=HEIC)
    assert find_images(tmp_path).files == [("IMG_1.HEIC",)]


def test_the_extra_opens_them_whatever_their_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for pillow-heif, which tests do without: it makes Pillow open HEIC as a red square."""

    class Opener(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self) -> None:
            self._mode, self._size, self.tile = "RGB", (9, 9), []
            self.im = Image.new("RGB", (9, 9), "red").im

    registry = [dict(Image.OPEN), list(Image.ID)]
    register = SimpleNamespace(register_heif_opener=lambda: Image.register_open("HEIF", Opener, image_kinds.is_heif))
    monkeypatch.setitem(sys.modules, "pillow_heif", register)
    image_kinds.reads_heif.cache_clear()
    try:
        write(tmp_path / "pool", "renamed.jpg", "x.HEIC", data=HEIC)
        store = pack(str(tmp_path / "pool"), tmp_path / "packed", 8)
    finally:
        image_kinds.reads_heif.cache_clear()
        Image.OPEN.clear()
        Image.OPEN.update(registry[0])
        Image.ID[:] = registry[1]
    assert store.names.tolist() == ["renamed.jpg", "x.HEIC"]
    assert (store.images == np.array([255, 0, 0]).reshape(3, 1, 1)).all()


def test_system_folders_are_neither_classes_nor_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "t")
    write(
        folder,
        "@eaDir/0.png",
        "a/@eaDir/0.png",
        "__MACOSX/a/._0.png",
        ".thumbnails/0.png",
        ".git/x",
        "$RECYCLE.BIN/0.png",
    )
    target = load(DataConfig(source=str(folder), target=str(folder), image_size=8, crop_size=8), tmp_path).target
    assert target.classes == ("a", "b", "c")
    counts = {entry["name"]: entry.get("count", 1) for entry in target.skipped}
    assert counts == {"$RECYCLE.BIN/": 1, ".git/": 1, ".thumbnails/": 1, "@eaDir/": 2, "__MACOSX/": 1}


def test_pictures_of_runs_are_no_source_images(tmp_path: Path) -> None:
    photos = write(tmp_path / "photos", "a.png", "config.json")
    runs = {"config.json": "metrics.csv", "b/config.json": "b/checkpoints/1.pt", "sweep/study.journal": "sweep/x"}
    for one, other in runs.items():
        write(photos / "runs" / "mine", one, other, "replay.png", "b/x.png", "sweep/y.png")
    pack(str(photos / "a.png").removesuffix("/a.png"), photos / "packed", 8)
    found = find_images(photos)
    assert found.files == [("a.png",)]
    assert account(photos) == {
        "config.json": ("no image", 1),
        "packed/": ("a packed data set", 1),
        "runs/mine/": ("a run's directory", 1),
    }


def test_pipes_and_broken_links(tmp_path: Path) -> None:
    write(tmp_path, "a.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert account(tmp_path) == {
        "gone.png": ("cannot be read: No such file or directory", 1),
        "pipe.png": ("no file but a pipe, socket or device", 1),
    }
    assert find_images(tmp_path).files == [("a.png",)]


def test_the_first_of_two_paths_to_a_folder_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "b/0.png", "b/deep/1.png", "c/2.png")
    (tmp_path / "a").symlink_to(tmp_path / "c", target_is_directory=True)
    assert find_images(tmp_path).files == [("a", "2.png"), ("b", "0.png"), ("b", "deep", "1.png")]
