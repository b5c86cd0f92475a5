"""The rendered pool: what is drawn how often, from which faces, and what happens where fonts are missing."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray

from bdw.data.instances import Part
from bdw.data.readers import resolve
from bdw.data.readers.base import SplitName
from bdw.data.readers.glyphs import FOR_CHOOSING, REPORTED, SCRIPTS, drawing, faces, reader, rubbish
from bdw.data.readers.glyphs.faces import Face
from bdw.errors import InputError

SIZE = 24


def pool(spec: str = "glyphs:images=400", *, seed: int = 0, channels: int | None = None, size: int = SIZE) -> Part:
    found, request = resolve(spec, option="source", image_size=size, seed=seed, channels=channels)
    return found.source(request)


def target(script: str, *, seed: int = 0) -> dict[SplitName, Part]:
    found, request = resolve(f"glyphs-{script}", option="target", image_size=SIZE, seed=seed)
    return dict(found.target(request))


def images(part: Part, numbers: Sequence[int] | range) -> NDArray[np.uint8]:
    return np.stack([part.read(i) for i in numbers])


@pytest.fixture
def with_faces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Sequence[Face]], None]]:
    """`with_faces(these)`: matplotlib ships these faces alone, and nothing is remembered of others."""
    remembering = (
        faces.faces, faces.faces_of, reader._drawable, reader._warn_of_faces, reader._letters, reader._fonts_digest,
    )  # fmt: skip

    def forget() -> None:
        for function in remembering:
            function.cache_clear()

    def only(these: Sequence[Face]) -> None:
        forget()
        for module in (faces, reader):
            monkeypatch.setattr(module, "faces", lambda: tuple(these))

    yield only
    monkeypatch.undo()
    forget()


# What the scripts are


def test_ten_scripts_are_reported_and_others_are_for_choosing() -> None:
    assert len(REPORTED) == 10
    assert len(FOR_CHOOSING) == 4
    assert not set(REPORTED) & set(FOR_CHOOSING)
    assert set(REPORTED) | set(FOR_CHOOSING) == set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_characters_are_distinct_and_some_face_holds_each(script: str) -> None:
    characters = SCRIPTS[script]
    assert 24 <= len(characters) == len(set(characters)) <= 40
    assert all(faces.faces_of(character) for character in characters)


def test_no_character_is_in_two_scripts() -> None:
    everything = "".join(SCRIPTS.values())
    assert len(everything) == len(set(everything))


# The pool


def test_the_pool_is_a_tenth_letters_and_the_rest_rubbish_in_equal_parts() -> None:
    part = pool("glyphs")
    assert len(part) == 8000
    assert part.planted is not None
    assert part.kinds is not None
    assert int(part.planted.sum()) == 800
    kinds, counts = np.unique(part.kinds, return_counts=True)
    found = dict(zip(kinds.tolist(), counts.tolist(), strict=True))
    assert found.keys() == SCRIPTS.keys() | rubbish.KINDS.keys()
    assert {found[kind] for kind in rubbish.KINDS} == {1440}
    assert {found[script] for script in SCRIPTS} == {57, 58}, "800 letters of 14 scripts"
    np.testing.assert_array_equal(part.planted == 1, np.isin(part.kinds, list(SCRIPTS)))


@pytest.mark.parametrize("letters", [0.3, 0.77])
def test_any_share_of_letters(letters: float) -> None:
    part = pool(f"glyphs:images=1000,letters={letters}")
    assert part.planted is not None
    assert part.kinds is not None
    assert len(part) == 1000
    assert int(part.planted.sum()) == round(1000 * letters)
    for among in (SCRIPTS, rubbish.KINDS):
        assert np.ptp([np.count_nonzero(part.kinds == kind) for kind in among]) <= 1


def test_every_character_is_drawn_as_often_as_any_other_of_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(drawing, "draw", lambda character, *_: drawn.append(character) or np.zeros((SIZE, SIZE)))
    part = pool("glyphs:images=3000,letters=0.75")
    assert part.planted is not None
    for i in np.flatnonzero(part.planted):
        part.read(int(i))
    for script, characters in SCRIPTS.items():
        counts = [drawn.count(character) for character in characters]
        # Of 160 images of a script, short ones begin again: once more for some.
        assert min(counts) >= 160 // 40
        assert max(counts) <= 2 * min(counts) + 1, script


def test_names_labels_and_order_of_the_pool() -> None:
    part = pool("glyphs")
    assert len(set(part.names)) == len(part)
    assert part.kinds is not None
    assert part.planted is not None
    assert all(name.startswith(f"{kind}-") for name, kind in zip(part.names, part.kinds, strict=True))
    assert set(part.labels.tolist()) == {-1}
    # Of the first half's 4,000 about 400 are letters; five standard deviations are 95.
    assert abs(int(part.planted[:4000].sum()) - 400) < 95


def test_a_seed_draws_the_same_images_and_another_one_others() -> None:
    some = range(60)
    once, again, other = pool(), pool(), pool(seed=1)
    assert list(once.names) == list(again.names) != list(other.names)
    np.testing.assert_array_equal(images(once, some), images(again, some[::-1])[::-1])
    assert dict(once.fingerprint) == dict(again.fingerprint) != dict(other.fingerprint)
    contents = {image.tobytes() for part in (once, other) for image in images(part, some)}
    assert len(contents) == 2 * len(some)


def test_options_are_part_of_the_fingerprint() -> None:
    specs = ("glyphs", "glyphs:images=400", "glyphs:letters=0.2", "glyphs:images=400,letters=0.2")
    assert len({str(sorted(pool(spec).fingerprint.items())) for spec in specs}) == 4
    assert pool("glyphs:letters=0.1,images=8000").fingerprint == pool("glyphs").fingerprint


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 33])
def test_images_of_any_size_and_number_of_channels(size: int, channels: int) -> None:
    found = images(pool(channels=channels, size=size), range(100))
    assert found.shape == (100, channels, size, size)
    assert found.dtype == np.uint8
    assert (found == found[:, :1]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("imagse=10", r"setting: 'imagse' is not known \(did you mean 'images'\?\); allowed: images, letters"),
        ("greek", r"setting: 'greek' is not known; allowed: images, letters"),
        ("images=many", r"'images=many' in 'glyphs:images=many' is no number; allowed: images=NUMBER"),
        ("images", r"'images' in 'glyphs:images' is no number; allowed: images=NUMBER"),
        ("images=9", r"images=9 cannot work; allowed: 10 to 10,000,000 whole images"),
        ("images=10.5", r"images=10.5 cannot work"),
        ("images=nan", r"images=nan cannot work"),
        ("images=inf", r"images=inf cannot work"),
        ("letters=0", r"letters=0 cannot work; allowed: a share between 0 and 1 .* among 8,000"),
        ("letters=1", r"letters=1 cannot work"),
        ("letters=nan", r"letters=nan cannot work"),
        ("images=10,letters=0.01", r"letters=0.01 cannot work; allowed: .* leaves a letter and another image among 10"),
        ("images=10,letters=0.99", r"letters=0.99 cannot work"),
    ],
)
def test_settings_that_cannot_work_are_named_with_what_is_allowed(settings: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        pool(f"glyphs:{settings}")
    assert str(caught.value).startswith("source")
    assert "\n" not in str(caught.value)


def test_source_and_targets_are_not_interchangeable() -> None:
    found, request = resolve("glyphs", option="target", image_size=SIZE)
    with pytest.raises(InputError, match=r"target: 'glyphs' is a source only; allowed: .*'glyphs-greek'"):
        found.target(request)
    found, request = resolve("glyphs-greek", option="source", image_size=SIZE)
    with pytest.raises(InputError, match="source: 'glyphs-greek' is a target only; allowed: 'glyphs', its source"):
        found.source(request)
    found, request = resolve("glyphs-greek:images=20", option="target", image_size=SIZE)
    with pytest.raises(InputError, match="target: 'glyphs-greek:images=20' has settings; allowed: 'glyphs-greek'"):
        found.target(request)


# Targets


@pytest.mark.parametrize("script", SCRIPTS)
def test_splits_of_a_target(script: str) -> None:
    parts = target(script)
    count = len(SCRIPTS[script])
    assert parts.keys() == {"train", "validation", "test"}
    for split, part in parts.items():
        assert part.classes == tuple(SCRIPTS[script])
        assert len(set(part.names)) == len(part)
        for name, label in zip(part.names, part.labels, strict=True):
            assert name.startswith(f"u{ord(part.classes[label]):04x}-{split}-")
        assert part.planted is None
    per_class = {split: np.bincount(part.labels, minlength=count) for split, part in parts.items()}
    assert set(per_class["train"].tolist()) == {5}
    assert set(per_class["test"].tolist()) == {20}
    # In equal parts, and no more than it takes.
    (validation,) = set(per_class["validation"].tolist())
    assert validation * count >= 500 > (validation - 1) * count
    assert len({str(sorted(part.fingerprint.items())) for part in parts.values()}) == 3


@pytest.mark.parametrize("script", SCRIPTS)
def test_test_images_are_drawn_in_faces_that_no_other_image_has(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, Face]] = []

    def spy(character: str, face: Face, size: int, _: np.random.Generator) -> NDArray[np.float64]:
        drawn.append((character, face))
        return np.zeros((size, size))

    monkeypatch.setattr(drawing, "draw", spy)
    faces_of_split: dict[str, set[str]] = {}
    for split, part in target(script).items():
        drawn.clear()
        for i in range(len(part)):
            part.read(i)
        assert [character for character, _ in drawn] == [part.classes[label] for label in part.labels]
        assert all(character in face.characters for character, face in drawn)
        faces_of_split[split] = {face.name for _, face in drawn}
    assert faces_of_split["train"] == faces_of_split["validation"], "drawn often enough to see all"
    assert not faces_of_split["test"] & faces_of_split["train"]


def test_no_image_of_a_target_is_in_another_split_or_in_the_source() -> None:
    parts = target("nko")
    contents = [{image.tobytes() for image in images(part, range(0, len(part), 2))} for part in parts.values()]
    contents.append({image.tobytes() for image in images(pool(), range(400))})
    assert len(set().union(*contents)) == sum(map(len, contents))


def test_a_target_is_the_same_for_its_seed_and_another_for_another() -> None:
    once, again, other = (target("lao", seed=seed)["train"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(images(once, range(30)), images(again, range(30)))
    assert not (images(once, range(30)) == images(other, range(30))).all(axis=(1, 2, 3)).any()
    assert dict(once.fingerprint) == dict(again.fingerprint) != dict(other.fingerprint)


# What images look like


def coverage(character: str, count: int, size: int = SIZE) -> NDArray[np.float64]:
    """Mean share of ink by pixel over so many drawings in all faces: 1 is ink, whichever is the lighter one."""
    generator = np.random.default_rng(0)
    total = np.zeros((size, size))
    for i in range(count):
        having = faces.faces_of(character)
        levels = drawing.draw(character, having[i % len(having)], size, generator)
        ground = np.median(np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]]))
        total += np.abs(levels - ground) / np.abs(levels - ground).max()
    return total / count


@pytest.mark.parametrize(("character", "more_ink"), [("T", "top"), ("ש", "top"), ("L", "bottom"), ("Δ", "bottom")])
def test_letters_are_upright(character: str, more_ink: str) -> None:
    mean = coverage(character, 60)
    top, bottom = mean[: SIZE // 2].sum(), mean[SIZE // 2 :].sum()
    assert (top > 1.05 * bottom) if more_ink == "top" else (bottom > 1.05 * top)


def test_letters_are_not_mirrored() -> None:
    mean = coverage("L", 60)
    assert mean[:, : SIZE // 2].sum() > 1.1 * mean[:, SIZE // 2 :].sum()


def test_characters_that_differ_look_different() -> None:
    """Of the class means of a script none is nearly another one's."""
    means = np.stack([coverage(character, 8).ravel() for character in SCRIPTS["hebrew"]])
    alike = np.corrcoef(means) - np.eye(len(means))
    assert alike.max() < 0.995


@pytest.mark.parametrize("character", ["T", "щ", "ᔦ", "∫"])
def test_letters_have_a_contrast_and_lie_within_the_image(character: str) -> None:
    generator = np.random.default_rng(1)
    lighter = 0
    for _ in range(60):
        levels = drawing.draw(character, faces.faces_of(character)[0], SIZE, generator)
        assert levels.shape == (SIZE, SIZE)
        border = np.concatenate([levels[0], levels[-1], levels[1:-1, 0], levels[1:-1, -1]])
        ground = np.median(border)
        # Thin strokes at 24 pixels are no full ink; noise is 8 levels at most.
        assert np.abs(levels - ground).max() > 0.35 * drawing.MIN_CONTRAST + 3 * drawing.MAX_NOISE
        assert np.mean(np.abs(border - ground) > 5 * drawing.MAX_NOISE) < 0.3
        lighter += levels.mean() > ground
    assert 15 < lighter < 45, "either is the lighter one"


@pytest.mark.parametrize("kind", rubbish.KINDS)
def test_rubbish_stays_in_range_and_differs_by_its_generator(kind: str) -> None:
    draws = [rubbish.KINDS[kind](SIZE, np.random.default_rng(seed)) for seed in range(60)]
    np.testing.assert_array_equal(draws[7], rubbish.KINDS[kind](SIZE, np.random.default_rng(7)))
    assert all(levels.shape == (SIZE, SIZE) for levels in draws)
    assert len({levels.tobytes() for levels in draws}) == 60
    # Six standard deviations of the noise.
    assert min(levels.min() for levels in draws) > -6 * drawing.MAX_NOISE
    assert max(levels.max() for levels in draws) < 255 + 6 * drawing.MAX_NOISE


def test_levels_beyond_black_and_white_are_cut_off_and_do_not_wrap() -> None:
    pixels = reader._to_pixels(np.array([[-20.0, 0.4], [254.6, 300.0]]), 1)
    np.testing.assert_array_equal(pixels, [[[0, 0], [255, 255]]])


def test_blanks_are_blank_and_other_rubbish_is_not() -> None:
    spread = {
        kind: np.median([drawn(SIZE, np.random.default_rng(seed)).std() for seed in range(40)])
        for kind, drawn in rubbish.KINDS.items()
    }
    assert spread.pop("blank") < drawing.MAX_NOISE
    assert min(spread.values()) > 2 * drawing.MAX_NOISE


# Where fonts are missing


def test_faces_that_are_missing_are_named_and_done_without(
    with_faces: Callable[[Sequence[Face]], None], caplog: pytest.LogCaptureFixture
) -> None:
    complete, whole = faces.faces(), pool().fingerprint
    assert faces.missing_faces() == ()
    assert not caplog.records
    with_faces(complete[:-1])
    with caplog.at_level(logging.WARNING):
        part = pool()
        target("greek")
    assert len(caplog.records) == 1, "it is said once"
    assert "1 of 12 faces are not among this matplotlib's fonts (DejaVuSerif-BoldItalic)" in caplog.text
    assert part.fingerprint != whole
    assert images(part, range(50)).shape == (50, 1, SIZE, SIZE)


def test_characters_that_no_face_holds_are_named_and_left_out(
    with_faces: Callable[[Sequence[Face]], None], caplog: pytest.LogCaptureFixture
) -> None:
    complete, whole = faces.faces(), pool().fingerprint
    lost = {*SCRIPTS["lao"], "α", "ω"}
    with_faces(
        [
            dataclasses.replace(face, characters=face.characters - lost, digest=f"other {face.digest}")
            for face in complete
        ]
    )
    with caplog.at_level(logging.WARNING):
        part = pool("glyphs:images=400,letters=0.5")
        greek = target("greek")
    assert "holds U+03B1 U+03C9 of the script greek: left out" in caplog.text
    assert "of the script lao: left out" in caplog.text
    assert len(caplog.records) == 2
    assert part.fingerprint["fonts"] != whole["fonts"]
    assert part.kinds is not None
    assert "lao" not in part.kinds
    assert images(part, range(50)).shape == (50, 1, SIZE, SIZE)
    assert greek["train"].classes == tuple(c for c in SCRIPTS["greek"] if c not in lost)
    assert set(np.bincount(greek["test"].labels).tolist()) == {20}
    with pytest.raises(
        InputError, match="target: no font of this matplotlib holds two letters of 'glyphs-lao'; allowed"
    ):
        target("lao")


def test_one_face_serves_all_splits_where_it_is_alone(with_faces: Callable[[Sequence[Face]], None]) -> None:
    with_faces(faces.faces()[:1])
    for part in target("nko").values():
        assert images(part, range(0, len(part), 20)).std() > 10


def test_without_any_face_it_is_an_error_that_says_where_it_looked(
    with_faces: Callable[[Sequence[Face]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces.faces.cache_clear()
    monkeypatch.setattr(matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"needs fonts of matplotlib, and .*ttf' holds none of .*; allowed") as caught:
        faces.faces()
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    faces.faces.cache_clear()
    assert len(faces.faces()) == 12
