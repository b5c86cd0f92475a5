"""The rendered pool as a source (`glyphs`) and its scripts as targets (`glyphs-greek`, `glyphs-hebrew`, ...).

The source holds letters of all scripts, in every face, and 90 % rubbish in equal parts: noise, blanks, stripes, clouds
and patches of two photographs. A target has the letters of one script as classes, with few labelled images each, and
its test images are drawn in faces that neither its training nor its validation images use. No target image is in the
source: all are drawn anew. A contact sheet stands in docs/pictures/rendered_pool.png.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bdw.data.instances import Part, Pixels
from bdw.data.readers.base import Request, SplitName
from bdw.data.readers.glyphs import drawing, rubbish
from bdw.data.readers.glyphs.faces import FACES, Face, faces, faces_of, missing_faces
from bdw.data.readers.glyphs.scripts import SCRIPTS
from bdw.errors import InputError, unknown_option

logger = logging.getLogger(__name__)

NUM_IMAGES = 8000
LETTER_SHARE = 0.1
LETTER = "letter"
"""Kind of a useful image, whatever its script."""
TRAIN_PER_CLASS = 5
LEAST_VALIDATION = 500
"""Least number of validation images of a target, equally many a letter: on fewer, settings tie."""
TEST_PER_CLASS = 20

_GENERATION = 1
"""Part of the fingerprint: raise it whenever the same seed and fonts give other images."""
_SOURCE_STREAM, _STREAMS = 20, {"train": 21, "validation": 22, "test": 23}


@dataclass(frozen=True)
class PoolOptions:
    """What may be written behind `glyphs:` in a specification, as `glyphs:images=4000,letters=0.3`."""

    images: int = NUM_IMAGES
    """Images of the pool."""
    letters: float = LETTER_SHARE
    """Share of them that are letters."""

    @classmethod
    def parse(cls, option: str, spec: str) -> PoolOptions:
        """The options of a specification; `InputError` for unknown names and values that cannot work."""
        _, _, text = spec.partition(":")
        found: dict[str, float] = {}
        for entry in filter(None, text.split(",")):
            name, _, value = entry.partition("=")
            if name not in cls.__dataclass_fields__:
                raise unknown_option(f"{option} {spec!r}, setting", name, cls.__dataclass_fields__)
            try:
                found[name] = float(value)
            except ValueError:
                raise InputError(f"{option}: {entry!r} in {spec!r} is no number; allowed: {name}=NUMBER") from None
        images, letters = found.get("images", NUM_IMAGES), found.get("letters", LETTER_SHARE)
        if not 10 <= images <= 10_000_000 or images % 1:
            raise InputError(f"{option}: images={images:g} cannot work; allowed: 10 to 10,000,000 whole images")
        if not 0 < letters < 1 or not 1 <= round(letters * images) < images:
            raise InputError(
                f"{option}: letters={letters:g} cannot work; allowed: a share between 0 and 1 that leaves a letter and "
                f"another image among {images:,.0f}"
            )
        return cls(int(images), letters)


class Glyphs:
    """The pool, or one script of it as a target."""

    def __init__(self, script: str | None) -> None:
        self.script = script
        self.name = "glyphs" if script is None else f"glyphs-{script}"

    def source(self, request: Request) -> Part:
        """The pool in a random order; names begin with a letter's script or the kind of rubbish."""
        if self.script is not None:
            raise InputError(f"{request.option}: {self.name!r} is a target only; allowed: 'glyphs', its source")
        options = PoolOptions.parse(request.option, request.spec)
        letters = _letters()
        num_letters = round(options.letters * options.images)
        generator = np.random.default_rng([request.seed, _SOURCE_STREAM])
        useful = generator.permutation(options.images) < num_letters
        # Every script has as many images as any other, however many characters it has.
        chosen = np.zeros(options.images, dtype=np.int64)
        chosen[useful] = _dealt(len(letters), int(useful.sum()), generator)
        kinds_of_rubbish = tuple(rubbish.KINDS)
        chosen[~useful] = _dealt(len(kinds_of_rubbish), int((~useful).sum()), generator)
        scripts = np.array([script for script, _ in letters])
        rubbish_kinds = np.array(kinds_of_rubbish)[np.where(useful, 0, chosen)]
        what = np.where(useful, scripts[np.where(useful, chosen, 0)], rubbish_kinds)
        channels, size = request.channels or 1, request.image_size

        def read(i: int) -> Pixels:
            own = np.random.default_rng([request.seed, _SOURCE_STREAM, i])
            if not useful[i]:
                return _to_pixels(rubbish.KINDS[kinds_of_rubbish[chosen[i]]](size, own), channels)
            _, character = letters[chosen[i]]
            return _to_pixels(drawing.draw(character, _any_of(faces_of(character), own), size, own), channels)

        return Part(
            names=[f"{name}-{i:05d}" for i, name in enumerate(what)],
            labels=np.full(options.images, -1, dtype=np.int64),
            read=read,
            channels=channels,
            fingerprint={**self._fingerprint(request, "source"), "images": options.images, "letters": options.letters},
            planted=useful.astype(np.int8),
            kinds=np.where(useful, LETTER, rubbish_kinds),
        )

    def target(self, request: Request) -> dict[SplitName, Part]:
        """Five training images a letter, at least 500 for validation in equal parts, and twenty a letter for testing,
        these in faces of their own where the script has two."""
        if self.script is None:
            scripts = ", ".join(f"'glyphs-{script}'" for script in SCRIPTS)
            raise InputError(f"{request.option}: 'glyphs' is a source only; allowed: one of its scripts, {scripts}")
        if request.path is not None:
            raise InputError(
                f"{request.option}: {request.spec!r} has settings; allowed: {self.name!r}, which takes none"
            )
        characters = _drawable(self.script)
        if len(characters) < 2:
            raise InputError(
                f"{request.option}: no font of this matplotlib holds two letters of {self.name!r}; allowed: another "
                "script, or a matplotlib that ships the fonts DejaVu"
            )
        validation = max(TRAIN_PER_CLASS, -(-LEAST_VALIDATION // len(characters)))
        counts: dict[SplitName, int] = {
            "train": TRAIN_PER_CLASS,
            "validation": validation,
            "test": TEST_PER_CLASS,
        }
        return {split: self._split(request, characters, split, count) for split, count in counts.items()}

    def _split(self, request: Request, characters: str, split: SplitName, count: int) -> Part:
        labels = np.repeat(np.arange(len(characters), dtype=np.int64), count)
        channels, size = request.channels or 1, request.image_size
        faces_by_label = [_faces_for(split, character, characters) for character in characters]

        def read(i: int) -> Pixels:
            own = np.random.default_rng([request.seed, _STREAMS[split], i])
            character, face = characters[labels[i]], _any_of(faces_by_label[labels[i]], own)
            return _to_pixels(drawing.draw(character, face, size, own), channels)

        return Part(
            names=[f"u{ord(characters[label]):04x}-{split}-{i % count:02d}" for i, label in enumerate(labels)],
            labels=labels,
            read=read,
            channels=channels,
            fingerprint=self._fingerprint(request, split),
            classes=tuple(characters),
        )

    def _fingerprint(self, request: Request, part: str) -> dict[str, object]:
        return {
            "reader": self.name,
            "part": part,
            "seed": request.seed,
            "generation": _GENERATION,
            "fonts": _fonts_digest(),
        }


READERS = (Glyphs(None), *(Glyphs(script) for script in SCRIPTS))


@cache
def _drawable(script: str) -> str:
    """The script's characters that some face here holds; a warning names the others, once."""
    absent = missing_faces()
    if absent:
        _warn_of_faces(absent)
    characters = "".join(character for character in SCRIPTS[script] if faces_of(character))
    if len(characters) < len(SCRIPTS[script]):
        lost = " ".join(f"U+{ord(character):04X}" for character in SCRIPTS[script] if character not in characters)
        logger.warning("glyphs: no font of this matplotlib holds %s of the script %s: left out", lost, script)
    return characters


@cache
def _warn_of_faces(absent: tuple[str, ...]) -> None:
    logger.warning(
        "glyphs: %d of %d faces are not among this matplotlib's fonts (%s): drawn without them, so that images differ "
        "from those of other machines",
        len(absent),
        len(FACES),
        ", ".join(absent),
    )


@cache
def _letters() -> tuple[tuple[str, str], ...]:
    """(script, character) of the whole pool. Scripts take turns; a short script begins again at its first character."""
    longest = max(len(_drawable(script)) for script in SCRIPTS)
    return tuple(
        (script, _drawable(script)[i % len(_drawable(script))])
        for i in range(longest)
        for script in SCRIPTS
        if _drawable(script)
    )


def _faces_for(split: SplitName, character: str, characters: str) -> tuple[Face, ...]:
    """Faces for one of a script's characters: about a third of the script's for testing, the others for training and
    validation; all that hold the character where none of those does."""
    scripts = [face for face in faces() if not face.characters.isdisjoint(characters)]
    held_out = scripts[2::3] or scripts[-1:]
    having = faces_of(character)
    return tuple(face for face in having if (face in held_out) == (split == "test")) or having


def _dealt(num_kinds: int, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Kind numbers 0 to `num_kinds` - 1 of `count` images, in a random order; all kinds are equally frequent, up to one
    image."""
    return generator.permutation(np.arange(count, dtype=np.int64) % num_kinds)


def _any_of(having: tuple[Face, ...], generator: np.random.Generator) -> Face:
    return having[int(generator.integers(len(having)))]


@cache
def _fonts_digest() -> str:
    return hashlib.sha256(" ".join(face.digest for face in faces()).encode()).hexdigest()[:16]


def _to_pixels(ink: drawing.Ink, channels: int) -> Pixels:
    pixels = np.clip(np.round(ink), 0, 255).astype(np.uint8)
    return np.repeat(pixels[None], channels, axis=0)
