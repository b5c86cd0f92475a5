from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bdw.data.decode import decode, fit_array
from bdw.data.instances import UndecodableImageError


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_one_bit_becomes_black_and_white() -> None:
    bits = np.zeros((6, 6), bool)
    bits[:, 3:] = True
    pixels = decode(saved(Image.fromarray(bits)), 1, 6)
    assert pixels.dtype == np.uint8
    assert pixels[0, :, :3].max() == 0
    assert pixels[0, :, 3:].min() == 255


def test_palette_keeps_its_colours() -> None:
    image = Image.new("P", (5, 5), 1)
    image.putpalette([0, 0, 0, 200, 30, 10])
    np.testing.assert_array_equal(decode(saved(image), 3, 5)[:, 2, 2], [200, 30, 10])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_lies_on_white(mode: str) -> None:
    if mode == "P":
        image = Image.new("P", (4, 4), 0)
        image.putpalette([9, 9, 9])
        data = saved(image, transparency=0)
    else:
        data = saved(Image.new(mode, (4, 4), (0,) * len(mode)))
    assert (decode(data, 3, 4) == 255).all()
    assert (decode(data, 1, 4) == 255).all()


def test_half_transparent_is_blended() -> None:
    pixels = decode(saved(Image.new("RGBA", (4, 4), (0, 0, 0, 128))), 3, 4)
    np.testing.assert_allclose(pixels, 127, atol=1)


def test_sixteen_bit_grey_keeps_the_upper_byte() -> None:
    values = np.full((4, 4), 0x80FF, np.uint16)
    assert (decode(saved(Image.fromarray(values)), 1, 4) == 0x80).all()


def test_cmyk_jpeg() -> None:
    pixels = decode(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), 3, 8)
    assert pixels[0].min() > 200
    assert pixels[1:].max() < 60


def test_exif_orientation_is_honoured() -> None:
    upright = np.zeros((8, 8, 3), np.uint8)
    upright[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    data = saved(Image.fromarray(upright[::-1].copy()), exif=exif)
    np.testing.assert_array_equal(decode(data, 3, 8), upright.transpose(2, 0, 1))


def test_takes_the_central_square() -> None:
    wide = np.zeros((4, 12), np.uint8)
    wide[:, 4:8] = 200
    assert (fit_array(wide, 1, 4) == 200).all()
    assert (fit_array(wide.T, 1, 4) == 200).all()
    assert decode(saved(Image.fromarray(wide)), 3, 2).shape == (3, 2, 2)


def test_small_pictures_are_not_resampled() -> None:
    array = np.random.default_rng(0).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fit_array(array, 3, 7), array.transpose(2, 0, 1))


def test_large_jpeg_shrinks_smoothly() -> None:
    ramp = np.linspace(0, 255, 640).astype(np.uint8)[None].repeat(640, 0)
    pixels = decode(saved(Image.fromarray(ramp), "JPEG"), 1, 16)
    np.testing.assert_allclose(pixels[0, 5], np.linspace(0, 255, 33)[1::2], atol=3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_truncated_files_are_refused(kind: str) -> None:
    data = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)), kind)
    with pytest.raises(UndecodableImageError):
        decode(data[: len(data) // 2], 3, 8)


def test_reasons_are_readable(tmp_path: Path) -> None:
    with pytest.raises(UndecodableImageError, match=r"^not an image in a known format$"):
        decode(b"hello", 3, 8)
    with pytest.raises(UndecodableImageError, match=r"^No such file or directory$"):
        decode(tmp_path / "gone.png", 3, 8)
    with pytest.raises(UndecodableImageError, match="floating-point"):
        decode(saved(Image.new("F", (4, 4)), "TIFF"), 1, 4)
    with pytest.raises(UndecodableImageError, match="32-bit"):
        decode(saved(Image.new("I", (4, 4), 10**6), "TIFF"), 1, 4)


@pytest.mark.parametrize("factor", [1.5, 3])
def test_decompression_bombs_are_refused(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(100 * 100 / factor))
    with pytest.raises(UndecodableImageError):
        decode(saved(Image.new("L", (100, 100))), 1, 8)
