"""What kind of file this is: by its ending where that is enough, otherwise by its first bytes."""

from __future__ import annotations

import importlib
import os
import re
from functools import cache

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".jp2", ".tga", ".ico", ".avif"}
)
"""Endings of files that are images without a look inside."""

RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef"}
    | {".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
"""Endings of cameras' raw files. Many are TIFFs inside, of which Pillow would read a thumbnail or the bare sensor."""

_NO_IMAGES = frozenset(
    {".avi", ".bin", ".csv", ".db", ".gz", ".h5", ".html", ".ini", ".json", ".jsonl", ".log", ".mat", ".md", ".mkv"}
    | {".mov", ".mp4", ".npy", ".npz", ".parquet", ".pdf", ".pkl", ".pt", ".py", ".safetensors", ".sh", ".tar", ".tsv"}
    | {".txt", ".xml", ".yaml", ".yml", ".zip"}
)

HEIF_NEEDS = "HEIC, which needs the package pillow-heif"
NO_IMAGE = "no image"
_RAW = "a camera's raw format, which is not read"

SIGNATURE_BYTES = 32
"""How much of a file's beginning `kind` wants to see."""

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_IMAGE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*|P[1-6]\s|....ftypavi[fs]|\0\0\0\x0cjP  ",
    re.DOTALL,
)


def why_not(name: str) -> str | None:
    """Why a file with that name is no image to be read, "" if it is one, None if only its first bytes tell."""
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if ending in SUFFIXES:
        return ""
    if ending in RAW_SUFFIXES:
        return _RAW
    return NO_IMAGE if ending in _NO_IMAGES else None


def why_not_by_content(head: bytes) -> str:
    """Why a file that begins with `head` is no image to be read; "" if it is one."""
    if is_heif(head):
        return "" if reads_heif() else HEIF_NEEDS
    return "" if _IMAGE.match(head) else NO_IMAGE


def is_heif(head: bytes) -> bool:
    """Whether a file that begins so is one of a telephone's HEIC (or HEIF) images."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


@cache
def reads_heif() -> bool:
    """Whether HEIC can be read; from then on Pillow does so."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True
