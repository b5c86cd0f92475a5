"""Image files and arrays to squares of uint8: one rule for every reader.

* The central square is resized to size x size pixels: bilinear, antialiased when it shrinks.
* EXIF orientation is honoured; of an animation the first frame is taken.
* Transparent pixels (RGBA, LA, palettes with transparency) are laid onto white, the paper of most pictures on the web.
* More than 8 bits a sample are brought to 8 (see `deep_pixels`); 1-bit becomes 0 and 255; everything else goes through
  Pillow's conversion to grey or RGB. Floating-point images have no defined range and are refused.
* So are images of more bands than colours: what a TIFF does not call alpha, or an alpha that is hardly ever opaque or
  fully transparent and so must be something else, such as a satellite's infrared.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bdw.data.deep_pixels import SampleRange, image_source, is_deep, stream_of, to_eight_bits
from bdw.data.image_kinds import HEIF_NEEDS, SIGNATURE_BYTES, is_heif
from bdw.data.instances import Pixels, UndecodableImageError, UnreadableImageError

_BANDS = "allowed: 1 (grey) or 3 (colour), and transparency"
_FEW_LEVELS = 8
_PHOTOMETRIC, _SAMPLES, _EXTRA = 262, 277, 338
_BLACK_IS_ZERO, _RGB = 1, 2
_ALPHA = ((1,), (2,))


class SinglePixels:
    """Counts images of a single pixel, which are taken but hardly meant."""

    def __init__(self) -> None:
        self._found: list[None] = []  # Threads may append to it without a lock.

    def look_at(self, image: Image.Image) -> None:
        """Count it if it has no more than one pixel."""
        if image.size == (1, 1):
            self._found.append(None)

    def counted(self) -> dict[str, int]:
        """What such images have -> their number."""
        return {"have a single pixel": len(self._found)}


def decode(
    file: Path | bytes,
    channels: int,
    size: int,
    common: SampleRange | None = None,
    single_pixels: SinglePixels | None = None,
) -> Pixels:
    """The image file (a path, or its bytes) as uint8 (channels, size, size).

    `common` is the range of the pool's images of more than 8 bits; None: each image's own. `single_pixels` hears of the
    image. UndecodableImageError with the reason; UnreadableImageError, a kind of it, where the operating system did not
    hand out the file.
    """
    try:
        with Image.open(image_source(file)) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise UndecodableImageError(f"{image.width} x {image.height} pixels, more than the limit of {limit}")
            _require_colours(image)
            if single_pixels is not None:
                single_pixels.look_at(image)
            if is_deep(image):
                return fit(to_eight_bits(image, file, common), channels, size)
            # JPEGs may be decoded at an eighth of their size; twice the wanted size loses nothing that is visible.
            image.draft(None, (2 * size, 2 * size))
            return fit(ImageOps.exif_transpose(image), channels, size)
    except UndecodableImageError:
        raise
    except Exception as error:  # Decoders fail on broken files with anything from SyntaxError to struct.error.
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise UnreadableImageError(_reason(error)) from error
        raise UndecodableImageError(_reason(error, file)) from error


def fit(image: Image.Image, channels: int, size: int) -> Pixels:
    """A Pillow image as uint8 (channels, size, size); channels 1 is grey, 3 is RGB."""
    image = _convert(image, "L" if channels == 1 else "RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    if image.size != (size, size):
        box = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def fit_array(pixels: Pixels, channels: int, size: int) -> Pixels:
    """A uint8 array (height, width) or (height, width, 3) as uint8 (channels, size, size)."""
    return fit(Image.fromarray(np.ascontiguousarray(pixels)), channels, size)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "F":
        raise UndecodableImageError("floating-point pixels have no defined range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        levels = image.getchannel("A").histogram()
        if 4 * (levels[0] + levels[255]) < sum(levels) and sum(map(bool, levels)) > _FEW_LEVELS:
            raise UndecodableImageError(f"a last band that is no transparency; {_BANDS}")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _require_colours(image: Image.Image) -> None:
    """UndecodableImageError if a TIFF has bands beside its colours that it does not call alpha."""
    tags = getattr(image, "tag_v2", {})
    colours = {_BLACK_IS_ZERO: 1, _RGB: 3}.get(tags.get(_PHOTOMETRIC, -1))
    bands = int(tags.get(_SAMPLES, 1))
    if colours is not None and bands > colours and (bands > colours + 1 or tags.get(_EXTRA) not in _ALPHA):
        raise UndecodableImageError(f"{bands} bands; {_BANDS}")


def _reason(error: Exception, file: Path | bytes = b"") -> str:
    if isinstance(error, UnidentifiedImageError):
        # Pillow's message holds the address of a buffer or the full path; neither helps in a list of names.
        with stream_of(file) as stream:
            head = stream.read(SIGNATURE_BYTES)
        if is_heif(head):
            return HEIF_NEEDS
        if head[:4] in (b"II*\0", b"MM\0*"):
            return f"a TIFF whose bands or bits are not read; {_BANDS}"
        return "not an image in a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{error}" or type(error).__name__
