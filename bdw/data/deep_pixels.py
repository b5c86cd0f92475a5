"""Images of more than 8 bits a sample, brought to 8 by one rule: `value * 256 // (white + 1)`.

What is white the file says, where it does: a TIFF's MaxSampleValue, a PNG's sBIT. Netpbm and JPEG 2000 are scaled to
16 bits by Pillow itself. Otherwise it is the pool's own range: the first of 8, 10, 12, 14 and 16 bits that no image of
the pool exceeds, so that images keep their brightness relative to each other. An image by itself is its own pool.
With a white of 65,535 the upper byte is what is left.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bdw.data.instances import UndecodableImageError

FULL = 65535
_NEVER_DEEP = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".ico", ".tga"})
_MAX_SAMPLE_VALUE, _PHOTOMETRIC, _WHITE_IS_ZERO = 281, 262, 0


class SampleRange:
    """What is white in the deep images of a pool whose files do not say so; looked for when the first one is met."""

    def __init__(self, images: Callable[[], Iterable[Path | bytes]]):
        """`images` lists the pool's files (or their bytes), of any kind."""
        self._images = images
        self._lock = threading.Lock()
        self._white: int | None = None

    def white(self) -> int:
        """255, 1023, 4095, 16383 or 65535."""
        with self._lock:
            if self._white is None:
                self._white = white_of(self._largest())
            return self._white

    def remarks(self) -> list[str]:
        """A sentence on what was found; nothing as long as no image had to ask."""
        if self._white is None:
            return []
        bits = self._white.bit_length()
        return [f"images of more than 8 bits are scaled by their common range, {bits} bits: {self._white:,} is white"]

    def _largest(self) -> int:
        files = (f for f in self._images() if isinstance(f, bytes) or may_be_deep(f.name))
        largest = 0
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for found in pool.map(_largest_unsaid, files):
                largest = max(largest, found)
                if white_of(largest) == FULL:
                    pool.shutdown(cancel_futures=True)
                    break
        return largest


def may_be_deep(name: str) -> bool:
    """Whether a file of that name may have more than 8 bits a sample; its ending tells of most that cannot."""
    return Path(name).suffix.lower() not in _NEVER_DEEP


def image_source(file: Path | bytes) -> Path | io.BytesIO:
    """The file (a path, or its bytes) as `Image.open` takes it."""
    return io.BytesIO(file) if isinstance(file, bytes) else file


def stream_of(file: Path | bytes) -> BinaryIO:
    """The file (a path, or its bytes) to read bytes from."""
    return io.BytesIO(file) if isinstance(file, bytes) else file.open("rb")


def white_of(largest: int) -> int:
    """The range of 8, 10, 12, 14 or 16 bits that holds this value."""
    return next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if largest < 2**bits)


def is_deep(image: Image.Image) -> bool:
    """Whether an image, just opened and not loaded yet, has more than 8 bits a sample."""
    return image.mode.startswith("I") or any(";16" in _raw_mode(tile) for tile in getattr(image, "tile", ()))


def to_eight_bits(image: Image.Image, file: Path | bytes, common: SampleRange | None) -> Image.Image:
    """A deep image, just opened from `file`, as one of 8 bits, upright. UndecodableImageError if it has no range."""
    values = _values(image, file)
    largest = _largest_colour(values)
    white = _said(image, file, largest)
    if white is None:
        white = white_of(largest) if common is None else common.white()
    scaled = np.minimum(values * 256 // (white + 1), 255).astype(np.uint8)
    if image.mode.startswith("I") and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        scaled = 255 - scaled
    return Image.fromarray(scaled)


def _largest_unsaid(file: Path | bytes) -> int:
    """The largest colour value of a deep image whose file does not say its range, 0 for all others."""
    try:
        with Image.open(image_source(file)) as image:
            if not is_deep(image):
                return 0
            values = _values(image, file)
            largest = _largest_colour(values)
            return largest if _said(image, file, largest) is None else 0
    except Exception:  # Whatever it is, it is told when the image's turn comes.
        return 0


def _said(image: Image.Image, file: Path | bytes, largest: int) -> int | None:
    """What the file says is white; None if it says nothing."""
    if image.format in ("PPM", "JPEG2000"):
        return FULL
    said = getattr(image, "tag_v2", {}).get(_MAX_SAMPLE_VALUE)
    if said is not None:
        return int(np.max(said)) or None
    bits = _significant_bits(file) if image.format == "PNG" else None
    if bits is None:
        return None
    # By the standard samples are shifted up to 16 bits, but many programs leave them where they were.
    return 2**bits - 1 if largest < 2**bits else FULL


def _significant_bits(file: Path | bytes) -> int | None:
    """The most bits that a PNG's sBIT chunk names; None without one."""
    with stream_of(file) as stream:
        stream.seek(8)
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"sBIT":
                return max(stream.read(length)[:3], default=None)
            if kind in (b"IDAT", b"IEND"):
                return None
            stream.seek(length + 4, os.SEEK_CUR)
    return None


def _largest_colour(values: NDArray[np.int64]) -> int:
    """The largest of the colours; a fourth band is transparency."""
    return int((values if values.ndim == 2 else values[..., :3]).max())


def _values(image: Image.Image, file: Path | bytes) -> NDArray[np.int64]:
    """All samples, (h, w) or (h, w, bands), upright."""
    if image.mode.startswith("I"):
        values = np.asarray(ImageOps.exif_transpose(image)).astype(np.int64)
        if values.min() < 0 or values.max() > FULL:
            raise UndecodableImageError("32-bit pixels have no defined range")
        return values
    # Pillow keeps the upper bytes of colours. Read with the bytes of a sample in the other order, it keeps the lower.
    if any(_raw_mode(tile) == "LA;16B" for tile in getattr(image, "tile", ())):
        four = _with_raw_mode(file, lambda raw: "RGBA")
        return np.stack([four[..., 0] * 256 + four[..., 1]] * 3 + [four[..., 2] * 256 + four[..., 3]], axis=-1)
    return _with_raw_mode(file, lambda raw: raw) * 256 + _with_raw_mode(file, _other_order)


def _with_raw_mode(file: Path | bytes, change: Callable[[str], str]) -> NDArray[np.int64]:
    with Image.open(image_source(file)) as image:
        tiles: list[Any] = getattr(image, "tile", [])
        image.tile = [tile._replace(args=_replaced(tile.args, change(_raw_mode(tile)))) for tile in tiles]
        return np.asarray(ImageOps.exif_transpose(image)).astype(np.int64)


def _other_order(raw_mode: str) -> str:
    native = "L" if sys.byteorder == "little" else "B"
    kind, _, order = raw_mode.partition(";16")
    return f"{kind};16{'B' if order.replace('N', native) == 'L' else 'L'}"


def _raw_mode(tile: Any) -> str:
    return str(tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0])


def _replaced(args: Any, raw_mode: str) -> Any:
    return raw_mode if isinstance(args, str) else (raw_mode, *args[1:])
