"""Images of more than 8 bits a sample or more bands than colours: never black, and never changed without a word."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bdw.data import pack
from bdw.data.decode import decode
from bdw.data.deep_pixels import white_of
from bdw.data.instances import UndecodableImageError

RAMP = np.tile(np.linspace(0, 255, 32).round().astype(np.uint16), (32, 1))
"""What every image here is to come out as, whatever its depth."""


def png(samples: NDArray[np.uint16], significant_bits: int | None = None) -> bytes:
    """A PNG of 16 bits a sample, from its definition: (h, w) or (h, w, bands)."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[samples[0, 0].size]
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    if significant_bits is not None:
        chunks.append((b"sBIT", bytes([significant_bits]) * samples[0, 0].size))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    framed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def tiff(samples: NDArray[np.generic], tags: dict[int, tuple[int, ...]], order: str = "<") -> bytes:
    """An uncompressed TIFF of one strip, from its definition; `tags` beside what the samples say themselves."""
    bands = samples[0, 0].size
    data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    entries = {
        256: (samples.shape[1],), 257: (samples.shape[0],), 258: (8 * samples.itemsize,) * bands, 259: (1,),
        262: (2 if bands > 2 else 1,), 273: (8,), 277: (bands,), 278: (samples.shape[0],), 279: (len(data),),
    } | tags  # fmt: skip
    table, beyond = b"", b""
    start = 8 + len(data) + 2 + 12 * len(entries) + 4
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            packed, beyond = struct.pack(f"{order}I", start + len(beyond)), beyond + packed
        table += struct.pack(f"{order}HHI", tag, 4, len(values)) + packed
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    return head + data + struct.pack(f"{order}H", len(entries)) + table + bytes(4) + beyond


def colour(samples: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return np.stack([samples, samples[:, ::-1], samples.T], axis=-1)


def deep(bits: int) -> NDArray[np.uint16]:
    return (RAMP.astype(np.int64) * (2**bits - 1) // 255).astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_depth_comes_out_the_same(bits: int, order: str) -> None:
    samples = deep(bits)
    three = colour(RAMP).transpose(2, 0, 1)
    for data in (png(samples), tiff(samples, {}, order)):
        np.testing.assert_array_equal(decode(data, 1, 32)[0], RAMP)
    for data in (png(colour(samples)), tiff(colour(samples), {}, order)):
        np.testing.assert_array_equal(decode(data, 3, 32), three)
    opaque = np.full_like(samples, 65535)
    for data in (
        png(np.dstack([colour(samples), opaque])),
        tiff(np.dstack([colour(samples), opaque]), {338: (2,)}, order),
    ):
        np.testing.assert_array_equal(decode(data, 3, 32), three)
    np.testing.assert_array_equal(decode(png(np.dstack([samples, opaque])), 1, 32)[0], RAMP)


@pytest.mark.parametrize("kind", [np.int32, np.uint32])
def test_32_bit_integers_of_a_low_range(kind: type[np.generic]) -> None:
    sample_format = {339: (2 if kind is np.int32 else 1,)}
    np.testing.assert_array_equal(decode(tiff(RAMP.astype(kind), sample_format), 1, 32)[0], RAMP)
    with pytest.raises(UndecodableImageError, match="32-bit pixels have no defined range"):
        decode(tiff(RAMP.astype(kind) * 1000, sample_format), 1, 32)


def test_white_is_zero() -> None:
    for bits, dtype in ((8, np.uint8), (12, np.uint16), (16, np.uint16)):
        samples = (2**bits - 1 - deep(bits)).astype(dtype)
        np.testing.assert_allclose(decode(tiff(samples, {262: (0,)}), 1, 32)[0], RAMP, atol=1)


def test_what_the_file_says_is_white() -> None:
    half = deep(12) // 2
    expected = half // 16
    np.testing.assert_array_equal(decode(tiff(half, {281: (4095,)}), 1, 32)[0], expected)
    np.testing.assert_array_equal(decode(png(half, significant_bits=12), 1, 32)[0], expected)
    # By the standard samples are shifted up; sBIT then only says how many of the bits mean something.
    np.testing.assert_array_equal(decode(png(half << 4, significant_bits=12), 1, 32)[0], expected)
    assert decode(tiff(RAMP // 255 * 1000, {281: (1000,)}), 1, 32).max() == 255


def test_netpbm_says_its_range(tmp_path: Path) -> None:
    (tmp_path / "x.pgm").write_bytes(b"P5 32 32 4095\n" + (deep(12) // 4).astype(">u2").tobytes())
    np.testing.assert_allclose(decode(tmp_path / "x.pgm", 1, 32)[0], RAMP // 4, atol=1)


@pytest.mark.parametrize(("largest", "white"), [(0, 255), (255, 255), (256, 1023), (4095, 4095), (4096, 16383)])
def test_the_first_range_that_holds_all(largest: int, white: int) -> None:
    assert white_of(largest) == white


def test_a_pool_has_one_range(tmp_path: Path) -> None:
    """A dark image beside a bright one stays dark: both are scaled by the 12 bits of the brighter."""
    folder = tmp_path / "pool"
    folder.mkdir()
    (folder / "bright.png").write_bytes(png(deep(12)))
    (folder / "colour.tif").write_bytes(tiff(colour(deep(12)), {}))
    (folder / "dark.tif").write_bytes(tiff(deep(12) // 8, {}))
    (folder / "said.png").write_bytes(png(deep(14), significant_bits=14))
    Image.fromarray(RAMP.astype(np.uint8)).save(folder / "shallow.png")
    store = pack(str(folder), tmp_path / "packed", 32, channels=1)
    found = dict(zip(store.names.tolist(), store.images[:, 0], strict=True))
    for name in ("bright.png", "said.png", "shallow.png"):
        np.testing.assert_array_equal(found[name], RAMP)
    np.testing.assert_array_equal(found["dark.tif"], deep(12) // 8 // 16)
    assert store.remarks == ("images of more than 8 bits are scaled by their common range, 12 bits: 4,095 is white",)


def test_splits_share_their_range(tmp_path: Path) -> None:
    for split, samples in (("train", deep(12) // 8), ("test", deep(12))):
        for name in ("cat", "dog"):
            (tmp_path / "t" / split / name).mkdir(parents=True)
            (tmp_path / "t" / split / name / "0.png").write_bytes(png(samples))
    for split, expected in (("train", deep(12) // 8 // 16), ("test", RAMP)):
        store = pack(str(tmp_path / "t"), tmp_path / split, 32, part=split, channels=1)
        np.testing.assert_array_equal(store.images[0, 0], expected)


def test_images_of_a_single_colour_are_counted(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "full.png").write_bytes(png(deep(16)))
    for i in range(3):
        (tmp_path / "pool" / f"{i}.png").write_bytes(png(RAMP))  # All below 256: black beside the other.
    store = pack(str(tmp_path / "pool"), tmp_path / "packed", 32, channels=1)
    assert "3 images are a single colour" in store.remarks


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("extra", [{}, {338: (0,)}, {338: (2, 0)}])
def test_bands_that_are_no_colours_are_refused(dtype: type[np.generic], extra: dict[int, tuple[int, ...]]) -> None:
    bands = np.dstack([colour(RAMP), *[RAMP] * max(1, len(extra.get(338, ())))]).astype(dtype)
    with pytest.raises(UndecodableImageError, match=r"bands.*allowed: 1 \(grey\) or 3 \(colour\)"):
        decode(tiff(bands, extra), 3, 32)


def test_many_bands_are_refused_by_their_number() -> None:
    with pytest.raises(UndecodableImageError, match="a TIFF whose bands or bits are not read; allowed: 1"):
        decode(tiff(np.dstack([RAMP.astype(np.uint8)] * 8), {262: (1,), 338: (0,) * 7}), 3, 32)


def test_an_alpha_that_is_a_band_of_its_own_is_refused() -> None:
    """Red, green, blue and infrared are often tagged as RGBA; laid onto white, its dark parts would vanish."""
    infrared = np.random.default_rng(0).integers(0, 256, (32, 32))
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([colour(RAMP), infrared]).astype(np.uint8)).save(buffer, "PNG")
    for data in (buffer.getvalue(), tiff(np.dstack([colour(RAMP), infrared]).astype(np.uint8), {338: (2,)})):
        with pytest.raises(UndecodableImageError, match="a last band that is no transparency"):
            decode(data, 3, 32)


def test_soft_edges_are_transparency() -> None:
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    alpha = np.clip(400 * (0.9 - np.hypot(x, y)), 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([np.zeros((32, 32, 3)), alpha]).astype(np.uint8)).save(buffer, "PNG")
    pixels = decode(buffer.getvalue(), 1, 32)
    np.testing.assert_allclose(pixels[0], 255 - alpha, atol=2)
