"""A search space as users write it: a TOML file, and words such as weight_lr=0.1..100:log on the command line."""

from __future__ import annotations

import json
import re
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bdw.config import run_fields
from bdw.config.fields import Field, accepted_types, resolved
from bdw.errors import InputError
from sweeps.tuning.space import CHOICES, RANGE

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE_TEXT = re.compile(rf"(?P<low>{NUMBER})\.\.(?P<high>{NUMBER})(?P<log>:log)?(?::step=(?P<step>{NUMBER}))?")
ALLOWED = (
    "NAME=LOW..HIGH (with :log or :step=N behind it), NAME=A,B,C for choices, NAME=VALUE for a fixed value, JSON in "
    "the place of any of these, or a file that ends in .toml"
)


def read_entries(words: Sequence[str], *, task: str) -> dict[str, Any]:
    """The entries (see `sweeps.tuning.space`) of words and files, by dotted path; a later one takes an earlier one's
    place, so that words override the file before them.

    `task`: the pretext task whose options may be named, unless the words choose another one. Those of a selector may be
    named where the words choose it.
    Raises `InputError`, one line, for a word that is none of these, a file that cannot be read and a name that no field
    has.
    """
    given: list[tuple[str, Any]] = []
    for word in words:
        is_file = word.endswith(".toml") and "=" not in word
        given += _from_file(Path(word)).items() if is_file else [_taken_apart(word)]
    known = run_fields(_named("pretext", given) or task, _named("selector", given))
    found: dict[str, Any] = {}
    for name, entry in given:
        field = resolved(name, known, "space")
        found[field.path] = _typed(entry, field) if isinstance(entry, _Text) else entry
    return found


def _named(section: str, given: Sequence[tuple[str, Any]]) -> str | None:
    """The pretext task or the selector that the last word on it fixes, if any."""
    chosen = [entry for name, entry in given if name in (section, f"{section}.{section}")]
    return str(chosen[-1]) if chosen and isinstance(chosen[-1], str) else None


def words_of(entries: Mapping[str, Any]) -> tuple[str, ...]:
    """The words from which `read_entries` makes these entries again. Raises `InputError` for what is no JSON."""
    words = []
    for name, entry in entries.items():
        try:
            text = "none" if entry is None else json.dumps(entry, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"space: {name}: {entry!r} cannot work; allowed: what JSON has") from error
        words.append(f"{name}={text}")
    return tuple(words)


class _Text(str):
    """A word's part behind the equals sign, whose meaning depends on the field's type."""


def _from_file(path: Path) -> dict[str, Any]:
    try:
        with path.expanduser().open("rb") as file:
            return _flat(tomllib.load(file))
    except OSError as error:
        raise InputError(f"space: {str(path)!r} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"space: {str(path)!r} is no TOML: {error}") from error


def _flat(table: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """The entries of a table and of its sections; a section is a table without the names of a range or of choices."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        path = f"{section}{name}"
        if isinstance(value, dict) and not set(value) & (RANGE | CHOICES):
            if section:
                raise InputError(
                    f"space: {path} is neither a range nor choices; allowed: low and high, choices, or a plain value"
                )
            inner = _flat(value, f"{path}.")
        else:
            inner = {path: value}
        found |= inner
    return found


def _taken_apart(word: str) -> tuple[str, _Text]:
    name, equals, text = word.partition("=")
    if not (name and equals and text):
        raise InputError(f"space: {word!r} cannot work; allowed: {ALLOWED}")
    return name, _Text(text)


def _typed(text: str, field: Field) -> Any:
    if text[0] in '{["':
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"space: {field.path}={text} is no JSON: {error}") from error
    matched = RANGE_TEXT.fullmatch(text)
    if matched is not None:
        parts = matched.groupdict()
        entry = {end: json.loads(_json_number(parts[end])) for end in ("low", "high", "step") if parts[end]}
        return {**entry, **({"log": True} if parts["log"] else {})}
    is_list = typing.get_origin(field.type) is tuple
    kind = typing.get_args(field.type)[0] if is_list else field.type
    values = [_value(part, kind) for part in text.split(",")]
    if is_list:
        return values
    return {"choices": values} if len(values) > 1 else values[0]


def _value(text: str, kind: Any) -> Any:
    """The text as none, a truth value or a number where the field takes one, otherwise as it is."""
    accepted = accepted_types(kind)
    if type(None) in accepted and text == "none":
        return None
    if bool in accepted and text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        if number in accepted and re.fullmatch(NUMBER, text):
            value = json.loads(_json_number(text))
            if number is float or isinstance(value, int):
                return value
    return text


def _json_number(text: str) -> str:
    """The number as JSON has it: no plus sign, digits on both sides of the point."""
    text = re.sub(r"^([-+]?)\.", r"\g<1>0.", text.lower())
    return re.sub(r"\.(?=e|$)", "", text).removeprefix("+")
