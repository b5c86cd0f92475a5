"""A folder of photographs as they lie on disks, with odd files of every kind: `fit` accounts for each of them."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import fit

HEIC = b"\0\0\0\x18ftypheic" + bytes(40)
QUICK = ["--encoder", "small_cnn", "--image-size", "12", "--crop-size", "12", "--batch-size", "8", "--epochs", "1"]
ODD = os.fsdecode(b"-\xfc")


def photograph(kind: str = "PNG", mode: str = "RGB", seed: int = 0) -> bytes:
    """Some noise as the contents of a file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


def saved(pixels: np.ndarray, kind: str = "TIFF") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def add_odd_files(pool: Path) -> tuple[int, dict[str, int]]:
    """Adds images of odd kinds, and what is none or cannot be used.

    Returns:
        how many images were added, and how many files or folders of each reason are not to be used.
    """
    used = {
        "hash0": photograph(seed=1),
        "photo.jpg_large": photograph("JPEG", seed=2),
        f"name{ODD}.png": photograph(seed=3),
        "größe 漢.png": photograph(seed=4),
        "wrong ending.jpg": photograph("PNG", seed=5),
        "cmyk.jpg": photograph("JPEG", "CMYK", seed=6),
        "animation.gif": photograph("GIF", seed=7),
        "palette.png": photograph("PNG", "P", seed=8),
        "one bit.png": photograph("PNG", "1", seed=9),
        "transparent.png": photograph("PNG", "RGBA", seed=10),
        "12 bit.png": saved(np.arange(480, dtype=np.uint16).reshape(24, 20) * 8, "PNG"),
        "one colour.png": saved(np.full((9, 9, 3), 7, np.uint8), "PNG"),
        "dot.png": saved(np.full((1, 1, 3), 7, np.uint8), "PNG"),
    }
    generator = np.random.default_rng(0)
    unused = {
        "HEIC": {"IMG_1.HEIC": HEIC, "IMG_2.heic": HEIC, "hash1": HEIC, "renamed.jpg": HEIC},
        "a camera's raw format": {"IMG_3.CR2": b"II*\0", "IMG_4.dng": b"II*\0", "IMG_5.NEF": b"MM\0*"},
        "no image": {
            "notes.txt": b"a", "README": b"b", "film.mp4": b"c", "drawing.svg": b"<svg/>", "Thumbs.db": b"d",
            "index.html": b"<html>", "layers.psd": b"8BPS", "list.csv": b"e",
        },
        "a hidden file": {".DS_Store": b"a", "._IMG_1.jpg": b"b"},
        "a hidden or system folder": {
            "@eaDir/1.png": photograph(), "__MACOSX/2.png": photograph(), ".thumbnails/3.png": photograph()
        },
        "a run's directory": {"runs/1/config.json": b"{}", "runs/1/metrics.csv": b"", "runs/1/replay.png": b""},
        "a sweep's directory": {"sweep/study.journal": b"", "sweep/figure.png": photograph()},
        "a packed data set": {"packed/header.json": b"{}", "packed/images.npy": b""},
        "not an image in a known format": {"saved page.jpg": b"<html>", "empty.png": b"", "null.gif": bytes(90)},
        "runcated": {"half.jpg": photograph("JPEG")[:300], "cut.png": photograph()[:500]},
        "floating-point": {"depth.tif": saved(generator.random((9, 9), dtype=np.float32))},
        "no transparency": {"infrared.png": saved(generator.integers(60, 180, (24, 20, 4), dtype=np.uint8), "PNG")},
        "32-bit pixels": {"counts.tif": saved(np.arange(480, dtype=np.int32).reshape(24, 20) * 1000)},
    }  # fmt: skip
    for files in (used, *unused.values()):
        for name, contents in files.items():
            (pool / name).parent.mkdir(parents=True, exist_ok=True)
            (pool / name).write_bytes(contents)
    (pool / "gone.png").symlink_to(pool / "nowhere.png")
    (pool / "again").symlink_to(pool, target_is_directory=True)
    os.mkfifo(pool / "pipe.png")
    folders = {"a run's directory", "a sweep's directory", "a packed data set"}
    counts = {reason: 1 if reason in folders else len(files) for reason, files in unused.items()}
    return len(used), {**counts, "cannot be read: No such file": 1, "no file but a pipe": 1}


def numbers(line: str, reason: str) -> int:
    """How many files a line such as `3 .txt (no image), 1 folder(s) (hidden)` counts for that reason."""
    found = re.findall(r"([\d,]+) (?:\.\S+|folder\(s\)|without an ending) \(((?:[^()]|\([^()]*\))*)\)", line)
    return sum(int(count.replace(",", "")) for count, why in found if reason in why)


def test_every_file_is_an_image_or_accounted_for(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, mine = folders
    (pool / "broken.png").unlink()
    used, unused = add_odd_files(pool)
    total = sum(unused.values())
    assert fit(tmp_path / "run", "--source", str(pool), "--target", str(mine), *QUICK) == 0
    said = capsys.readouterr().out
    assert f"{24 + used} images of 3 x 12 x 12" in said
    (line,) = [line for line in said.splitlines() if line.startswith("skipped")]
    assert line.startswith(f"skipped {total} file(s) that are not used: ")
    assert {reason: numbers(line, reason) for reason in unused} == unused
    (header,) = (tmp_path / "run" / "packed").glob("*source*/header.json")
    entries = json.loads(header.read_text())["skipped"]
    listed = {reason: sum(e.get("count", 1) for e in entries if reason in e["reason"]) for reason in unused}
    assert listed == unused
    for remark in ("1 images have a single pixel", "2 images are a single colour", "more than 8 bits"):
        assert remark in said
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    assert f"{total} files could not be used" in page
