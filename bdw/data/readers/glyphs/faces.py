"""The faces of the fonts that matplotlib ships, and which characters each of them holds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import ImageFont

from bdw.errors import InputError

FACES = tuple(
    f"DejaVu{family}{style}"
    for family, styles in (
        ("Sans", ("", "-Bold", "-Oblique", "-BoldOblique")),
        ("SansMono", ("", "-Bold", "-Oblique", "-BoldOblique")),
        ("Serif", ("", "-Bold", "-Italic", "-BoldItalic")),
    )
    for style in styles
)
"""The faces that are asked for; what this machine's matplotlib lacks of them is left out."""


@dataclass(frozen=True)
class Face:
    """One font file."""

    name: str
    path: Path
    characters: frozenset[str]
    digest: str
    """Hash of the file's bytes."""


@cache
def faces() -> tuple[Face, ...]:
    """All of `FACES` that matplotlib ships here, in that order. Raises `InputError` if there are none."""
    # Matplotlib knows where its own fonts lie, and reads their tables of characters.
    import matplotlib
    from matplotlib.ft2font import FT2Font

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    found = []
    for name in FACES:
        path = folder / f"{name}.ttf"
        if path.is_file():
            characters = frozenset(map(chr, FT2Font(str(path)).get_charmap()))
            found.append(Face(name, path, characters, hashlib.sha256(path.read_bytes()).hexdigest()))
    if not found:
        raise InputError(
            f"glyphs: the rendered pool needs fonts of matplotlib, and {str(folder)!r} holds none of {FACES[0]}.ttf "
            f"to {FACES[-1]}.ttf; allowed: a matplotlib that ships its fonts, or another source"
        )
    return tuple(found)


def missing_faces() -> tuple[str, ...]:
    """Names of `FACES` that are not here."""
    present = {face.name for face in faces()}
    return tuple(name for name in FACES if name not in present)


@cache
def faces_of(character: str) -> tuple[Face, ...]:
    """The faces that hold this character, in the order of `FACES`."""
    return tuple(face for face in faces() if character in face.characters)


@cache
def font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """The face at that size in pixels, laid out by Pillow itself, so that no other library changes a picture."""
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
