"""A part by its name with parameters, as in `tpe:n_startup_trials=20`: parsed into the part's own options."""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from bdw.config.fields import accepted_types, coerced
from bdw.errors import InputError, unknown_option

Options = TypeVar("Options")


def parse(text: str, known: Mapping[str, type[Options]], *, what: str) -> Options:
    """The options of the named part, a frozen dataclass; what is not given has its default.

    Args:
        text: `NAME`, or `NAME:PARAMETER=VALUE,...`.
        known: name -> dataclass of the part's parameters.
        what: names the input in messages.

    Raises `InputError`, one line, for an unknown name or parameter (with the nearest one) and a value that cannot work.
    """
    name, _, rest = text.partition(":")
    if name not in known:
        raise unknown_option(what, name, known)
    types = typing.get_type_hints(known[name])
    values: dict[str, Any] = {}
    for word in filter(None, rest.split(",")):
        parameter, equals, value = word.partition("=")
        if parameter not in types:
            if not types:
                raise InputError(f"{what}: {parameter!r} is not known; {name!r} has no parameters")
            raise unknown_option(f"{what}: {name}", parameter, types)
        if not (equals and value):
            raise InputError(f"{what}: {word!r} cannot work; allowed: {name}:{parameter}=VALUE")
        values[parameter] = coerced(f"{what}: {parameter}", _number(value, types[parameter]), types[parameter])
    return known[name](**values)


def _number(text: str, annotation: Any) -> Any:
    for kind in (int, float):
        if kind in accepted_types(annotation):
            with contextlib.suppress(ValueError):
                return kind(text)
    return text


def with_parameters(text: str, options: Any) -> str:
    """The name with all parameters that are not None, as one writes them."""
    values = {name: value for name, value in dataclasses.asdict(options).items() if value is not None}
    name = text.partition(":")[0]
    return f"{name}:{','.join(f'{key}={value}' for key, value in values.items())}" if values else name
