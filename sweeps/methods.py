"""Ways to pre-train that a sweep compares: by name, and with settings of their own where a user gives some."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bdw.config import field_owners
from bdw.errors import InputError, unknown_option
from sweeps.options import require_each_once, require_some
from sweeps.space import ETA, LAMBDA, RHO

LETTERS = {"eta": ETA, "rho": RHO, "lambda": LAMBDA}
"""The paper's names of fields."""
SECTIONS = ("weighter", "meta")
"""Of the config, in which methods may differ; whatever else differed would make the comparison unfair."""


@dataclass(frozen=True)
class Method:
    """A way to pre-train: a name for tables and the config's fields that make it."""

    name: str
    fields: Mapping[str, Any]


def chosen(texts: Sequence[str], known: Mapping[str, Method]) -> list[Method]:
    """The methods that a command line names, such as "BDW" or "BDW eta=100 meta_every=2".

    Settings are the config's fields of weighting, or the paper's eta, rho and lambda; with some, a method goes by its
    whole text.

    Raises `InputError` for an unknown name or field, what is no setting, and a method given twice or none at all.
    """
    require_some("methods", texts)
    words = [text.split() or [""] for text in texts]
    require_each_once("methods", [" ".join(each) for each in words])
    for name, *_ in words:
        if name not in known:
            raise unknown_option("methods", name, known)
    return [
        Method(" ".join([name, *settings]), {**known[name].fields, **dict(map(_setting, settings))})
        for name, *settings in words
    ]


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"methods: {text!r} is no setting; allowed: NAME=VALUE, as in 'BDW eta=100'")
    field = LETTERS.get(name, name)
    allowed = [name for name, (section, _) in field_owners().items() if section in SECTIONS]
    if field not in allowed:
        raise unknown_option("methods", name, [*LETTERS, *allowed])
    try:
        return field, json.loads(value)
    except json.JSONDecodeError:
        return field, value  # A word, such as prototype.
