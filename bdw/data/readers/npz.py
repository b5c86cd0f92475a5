"""Images in .npz files: raw arrays, or encoded image files joined end to end (read with allow_pickle=False).

Either `images` uint8 (n, h, w) or (n, h, w, 3), or `data` uint8 (bytes of all files) with `offsets` int64 (n + 1);
`labels`, numbers or names (see `label_column`), and `classes` (names by label) are optional. NAME-train.npz has its
test split in NAME-test.npz.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bdw.data.decode import SinglePixels, decode, fit_array
from bdw.data.deep_pixels import SampleRange
from bdw.data.instances import Part, Pixels
from bdw.data.readers.base import Request, SplitName
from bdw.data.readers.label_column import label_column
from bdw.errors import InputError

_WHAT = "an .npz file, or the part of its name before -train.npz"
_SOURCE_ENDINGS = ("-unlabelled", "-train")


class Npz:
    """A file, or a family of files with a common beginning of their names."""

    name = "npz"

    def source(self, request: Request) -> Part:
        """The file itself; for a family NAME-unlabelled.npz or else NAME-train.npz."""
        return _part(find(request.path, request.root, _SOURCE_ENDINGS) or _missing(request), request)

    def target(self, request: Request) -> dict[SplitName, Part]:
        """NAME-train.npz, and NAME-validation.npz and NAME-test.npz where they exist; any other file is train."""
        train = find(request.path, request.root, ("-train",)) or _missing(request)
        parts: dict[SplitName, Part] = {"train": _part(train, request)}
        stem = train.name.removesuffix(".npz")
        if stem.endswith("-train"):
            siblings: tuple[SplitName, ...] = ("validation", "test")
            for split in siblings:
                file = train.with_name(f"{stem.removesuffix('-train')}-{split}.npz")
                if file.is_file():
                    parts[split] = _part(file, request)
        return parts


READERS = (Npz(),)


def find(path: Path | None, root: Path | None, endings: tuple[str, ...] = _SOURCE_ENDINGS) -> Path | None:
    """The file that a path or the beginning of one means, also below the data root; None if there is none."""
    if path is None:
        return None
    for base in (path, *([root / path] if root is not None else [])):
        for candidate in (base, *(base.with_name(f"{base.name}{ending}.npz") for ending in ("", *endings))):
            if candidate.suffix == ".npz" and candidate.is_file():
                return candidate
    return None


def _missing(request: Request) -> Path:
    if request.path is None:
        request.required_path(_WHAT)
    raise InputError(f"{request.option}: no .npz file found for {str(request.path)!r}; allowed: {_WHAT}")


def _part(file: Path, request: Request) -> Part:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {
                name: archive[name] for name in ("images", "data", "offsets", "labels", "classes") if name in archive
            }
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{request.option}: {str(file)!r} is not a readable .npz file ({error})") from None
    encoded = "data" in arrays and "offsets" in arrays
    count = _check(file, arrays, encoded, request)
    try:
        labels, classes = label_column(arrays.get("labels"), arrays.get("classes"), count)
    except InputError as error:
        raise InputError(f"{request.option}: {str(file)!r}: {error}") from None
    grey = not encoded and (arrays["images"].ndim == 3 or arrays["images"].shape[-1] == 1)
    channels = request.channels or (1 if grey else 3)

    def encoded_file(i: int) -> bytes:
        begin, end = arrays["offsets"][i : i + 2]
        return bytes(arrays["data"][begin:end].tobytes())

    common, single_pixels = SampleRange(lambda: map(encoded_file, range(count))), SinglePixels()

    def read_encoded(i: int) -> Pixels:
        return decode(encoded_file(i), channels, request.image_size, common, single_pixels)

    def read_raw(i: int) -> Pixels:
        pixels = arrays["images"][i]
        return fit_array(pixels[..., 0] if grey and pixels.ndim == 3 else pixels, channels, request.image_size)

    status = file.stat()
    stem = file.name.removesuffix(".npz")
    return Part(
        names=[f"{stem}/{i:06d}" for i in range(count)],
        labels=labels,
        read=read_encoded if encoded else read_raw,
        channels=channels,
        fingerprint={
            "reader": "npz",
            "path": str(file.resolve()),
            "size": status.st_size,
            "modified": status.st_mtime_ns,
        },
        classes=classes,
        remarks=common.remarks,
        counted=single_pixels.counted,
    )


def _check(file: Path, arrays: dict[str, NDArray[Any]], encoded: bool, request: Request) -> int:
    """The number of images; InputError if the arrays are not laid out as described above."""
    if encoded:
        data, offsets = arrays["data"], arrays["offsets"]
        fits = data.dtype == np.uint8 and data.ndim == 1 and offsets.dtype.kind in "iu" and offsets.ndim == 1
        fits = fits and len(offsets) > 0 and offsets[0] >= 0 and offsets[-1] <= len(data)
        count = len(offsets) - 1
        fits = fits and bool((np.diff(offsets.astype(np.int64)) >= 0).all())
    elif "images" in arrays:
        images = arrays["images"]
        fits = images.dtype == np.uint8 and (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3)))
        count = len(images)
    else:
        fits, count = False, 0
    if not fits:
        raise InputError(
            f"{request.option}: {str(file)!r} is laid out differently; allowed: images uint8 (n, h, w) or "
            "(n, h, w, 3), or data uint8 with offsets (n + 1)"
        )
    if count == 0:
        raise InputError(f"{request.option}: {str(file)!r} holds no images")
    return count
