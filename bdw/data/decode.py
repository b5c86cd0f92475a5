"""Image files and arrays to squares of uint8: one rule for every reader.

* The central square is resized to size x size pixels: bilinear, antialiased when it shrinks.
* EXIF orientation is honoured; of an animation the first frame is taken.
* Transparent pixels (RGBA, LA, palettes with transparency) are laid onto white, the paper of most pictures on the web.
* 16-bit grey keeps its upper byte; 1-bit becomes 0 and 255; everything else goes through Pillow's conversion to grey
  or RGB. Floating-point images have no defined range and are refused.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bdw.data.instances import Pixels, UndecodableImageError


def decode(file: Path | bytes, channels: int, size: int) -> Pixels:
    """The image file (a path, or its bytes) as uint8 (channels, size, size). UndecodableImageError with the reason."""
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise UndecodableImageError(f"{image.width} x {image.height} pixels, more than the limit of {limit}")
            # JPEGs may be decoded at an eighth of their size; twice the wanted size loses nothing that is visible.
            image.draft(None, (2 * size, 2 * size))
            return fit(ImageOps.exif_transpose(image), channels, size)
    except UndecodableImageError:
        raise
    except Exception as error:  # Decoders fail on broken files with anything from SyntaxError to struct.error.
        raise UndecodableImageError(_reason(error)) from error


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
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise UndecodableImageError("32-bit pixels have no defined range")
        image = Image.fromarray((values // 256).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        # Pillow's message holds the address of a buffer or the full path; neither helps in a list of names.
        return "not an image in a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{error}" or type(error).__name__
