"""How a run's settings become flags: `--weighter.cdf-threshold` and, as names are unique, `--cdf-threshold`."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import enum
import io
import re
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, StructConstructorSpec, StructTypeInfo

from bdw.config import RunConfig, SelectorConfig, WorkersConfig
from bdw.config.fields import Field, Mark, accepted_types, coerced, fields_of
from bdw.config.pretext import PretextConfig
from bdw.config.run import OPTIONS
from bdw.errors import InputError

WORKERS = "workers"
"""The section of the flags that are no part of a run's config."""


class Shown(enum.Enum):
    """Which flags the parser has."""

    ACCEPTED = enum.auto()
    """All, by their dotted path and by their unique name: for parsing."""
    BASIC = enum.auto()
    """The basic ones by their short name: for `--help`."""
    ALL = enum.auto()
    """All by their dotted path, the basic ones by their short name as well: for `--help-all`."""


def fields_with_flags(config: RunConfig) -> list[Field]:
    """All fields of a run and of its workers."""
    return [*config.fields().values(), *fields_of(WORKERS, WorkersConfig)]


def registry(config: RunConfig, shown: Shown) -> ConstructorRegistry:
    """What tyro needs to know about the sections of that config."""
    known = {field.path: field for field in fields_with_flags(config)}
    sections = {
        type(getattr(config, field.section)): field.section for field in known.values() if field.section != WORKERS
    }
    options = config.pretext.options
    sections |= {WorkersConfig: WORKERS, type(options): "pretext", type(config.selector.selector_options): "selector"}
    parts = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    sections |= {type(part): f"pretext.{name}" for name, part in parts.items() if dataclasses.is_dataclass(part)}
    found = ConstructorRegistry()
    busy: set[type] = set()

    @found.struct_rule
    def section(info: StructTypeInfo) -> StructConstructorSpec | None:
        if info.type not in sections or info.type in busy:
            return None
        busy.add(info.type)  # The rule that tyro has for dataclasses finds defaults and help texts.
        spec = ConstructorRegistry.get_struct_spec(info)
        busy.remove(info.type)
        assert isinstance(spec, StructConstructorSpec)
        flags = []
        for each in spec.fields:
            field = known.get(f"{sections[info.type]}.{each.name}")
            if field is not None and (shown is not Shown.BASIC or Mark.BASIC in field.marks):
                flags.append(dataclasses.replace(each, type=_flag(field, shown)))
            elif (
                type(each.default) in sections
                and info.type not in (PretextConfig, SelectorConfig)
                and shown is not Shown.BASIC
            ):
                flags.append(dataclasses.replace(each, type=type(each.default)))
            elif each.name in OPTIONS.values() and dataclasses.fields(each.default):
                kind: Any = Annotated[(type(each.default), tyro.conf.arg(name=""))]
                flags.append(dataclasses.replace(each, type=kind))
        return dataclasses.replace(spec, fields=tuple(flags))

    return found


def parsed(
    kind: Any,
    arguments: Sequence[str],
    *,
    prog: str,
    names: Collection[str],
    registry: ConstructorRegistry | None = None,
    description: str | None = None,
) -> Any:
    """The arguments as an instance of `kind`; exits with status 0 after showing help.

    `names`: flags, without hyphens before them, among which the nearest is looked for when one is not known.
    Raises `InputError`, one line, for a flag or a value that cannot work.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            result, unknown = tyro.cli(
                kind, prog=prog, args=arguments, description=description, registry=registry, return_unknown_args=True
            )
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise _input_error_behind(stop) or InputError(_one_line(said.getvalue())) from None
    if unknown:
        raise _unknown(unknown[0], names)
    return result


def _flag(field: Field, shown: Shown) -> Any:
    """The type of the field with what tyro is to make of it."""
    short = f"--{field.name.replace('_', '-')}"
    has_short = not field.is_option and (shown is Shown.ACCEPTED or Mark.BASIC in field.marks)
    if shown is Shown.BASIC:
        marks: list[Any] = [tyro.conf.arg(prefix_name=False)]
    else:
        marks = [tyro.conf.arg(aliases=(short,) if has_short else None)]
    if field.type is not bool:
        marks.append(_value(field))
    return Annotated[(field.type, *marks)]


def _value(field: Field) -> PrimitiveConstructorSpec[Any]:
    """How words become a value of the field: errors name the field, the value and what is allowed."""
    is_list = get_origin(field.type) is tuple
    kind = get_args(field.type)[0] if is_list else field.type

    def read(words: list[str]) -> Any:
        values = [_scalar(word, kind) for word in words]
        return coerced(field.key, values if is_list else values[0], field.type)

    def written(value: Any) -> list[str]:
        return list(map(str, value)) if is_list else ["none" if value is None else str(value)]

    return PrimitiveConstructorSpec(
        nargs="*" if is_list else 1,
        metavar=f"[{_metavar(kind)} ...]" if is_list else _metavar(kind),
        instance_from_str=read,
        is_instance=lambda value: True,
        str_from_instance=written,
    )


def _scalar(word: str, kind: Any) -> Any:
    """The word as a number or None where the field takes one, otherwise as it is."""
    accepted = accepted_types(kind)
    if type(None) in accepted and word.lower() == "none":
        return None
    for number in (int, float):
        if number in accepted:
            with contextlib.suppress(ValueError):
                return number(word)
    return word


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "{" + ",".join(map(str, get_args(kind))) + "}"
    return "|".join("none" if t is type(None) else t.__name__.upper() for t in accepted_types(kind))


def _unknown(word: str, names: Collection[str]) -> InputError:
    if not word.startswith("-"):
        return InputError(f"{word!r} belongs to no option; allowed: options with their values")
    name = word.lstrip("-").partition("=")[0].replace("_", "-")
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean --{near[0]}?" if near else ""
    return InputError(f"--{name}: is not known{hint}")


def _one_line(boxed: str) -> str:
    """What tyro says in a box, up to the box's first rule."""
    words: list[str] = []
    for line in boxed.splitlines()[1:]:
        if "───" in line:
            break
        words += re.sub(r"[│╭╮╰╯]", " ", line).split()
    return " ".join(words)


def _input_error_behind(stop: SystemExit) -> InputError | None:
    error: BaseException | None = stop
    while error is not None and not isinstance(error, InputError):
        error = error.__context__
    return error
