"""The fields of the sections: their types, their marks, and what a dotted path or a short name leads to.

A mark stands around the type: `run_dir: Basic[Free[str]]`.
"""

from __future__ import annotations

import dataclasses
import enum
import os
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from bdw.errors import InputError, unknown_option

T = TypeVar("T")


class Mark(enum.Enum):
    """What is said of a field beside its type."""

    BASIC = enum.auto()
    FREE = enum.auto()
    LENGTH = enum.auto()


Basic = Annotated[T, Mark.BASIC]
"""One of the few fields that most people set: it has a short flag, and `fit --help` shows it."""
Free = Annotated[T, Mark.FREE]
"""The field changes where or how a run computes, not its result: it is no part of the run's identity."""
Length = Annotated[T, Mark.LENGTH]
"""The field says how long a run is: a part of its identity, but a run may be resumed with another value."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of one section."""

    section: str
    name: str
    """Unique over all sections."""
    type: Any
    marks: frozenset[Mark]
    is_option: bool = False
    """Whether it is an option of the chosen pretext task, whose names are unique within the task alone."""

    @property
    def path(self) -> str:
        """The dotted path, such as `weighter.cdf_threshold`."""
        return f"{self.section}.{self.name}"

    @property
    def key(self) -> str:
        """The name in the flat form: the unique name, or an option's dotted path."""
        return self.path if self.is_option else self.name


def fields_of(section: str, cls: type, *, are_options: bool = False, within: str = "") -> list[Field]:
    """The fields of a section's dataclass, in order; where they are options, those of a part have the name
    `<part>.<option>`."""
    hints = typing.get_type_hints(cls, include_extras=True)
    found: list[Field] = []
    for field in dataclasses.fields(cls):
        hint, name = hints[field.name], within + field.name
        if are_options and isinstance(hint, type) and dataclasses.is_dataclass(hint):
            found += fields_of(section, hint, are_options=True, within=f"{name}.")
            continue
        marks = frozenset(mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Mark))
        found.append(Field(section, name, _plain(hint), marks, are_options))
    return found


def resolved(name: str, known: Mapping[str, Field], what: str = "config field") -> Field:
    """The field that a unique name or a dotted path means; hyphens count as underscores.

    `known`: key -> field. `what`: names the input in the message. Raises `InputError` for an unknown name, with the
    nearest known one.
    """
    by_path = {field.path: field for field in known.values()}
    written = name.replace("-", "_")
    field = known.get(written) or by_path.get(written)
    if field is None:
        raise unknown_option(what, name, by_path if "." in written else known)
    return field


def coerced(name: str, value: Any, annotation: Any) -> Any:
    """The value as the field's type: exact types, but an int where a float is wanted, a list for a tuple and a path for
    a string."""
    origin = typing.get_origin(annotation)
    if origin is Literal:
        if value not in typing.get_args(annotation):
            raise unknown_option(name, str(value), map(str, typing.get_args(annotation)))
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{name}: {value!r} cannot work; allowed: a list")
        return tuple(coerced(name, item, typing.get_args(annotation)[0]) for item in value)
    accepted = accepted_types(annotation)
    if str in accepted and isinstance(value, os.PathLike):
        return os.fspath(value)
    if float in accepted and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) not in accepted:
        wanted = " or ".join("none" if t is type(None) else t.__name__ for t in accepted)
        raise InputError(f"{name}: {value!r} is of type {type(value).__name__}; allowed: {wanted}")
    return value


def accepted_types(annotation: Any) -> tuple[type, ...]:
    """The types of a union, or the one type."""
    is_union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    return typing.get_args(annotation) if is_union else (annotation,)


def _plain(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation
