"""Ways to pre-train that a sweep compares: by name, and with settings of their own where a user gives some."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bdw.config import RunConfig, run_fields
from bdw.config.fields import resolved
from bdw.config.selector import selector_names
from bdw.errors import InputError, unknown_option
from sweeps.runner.options import require_each_once, require_some
from sweeps.runner.space import ETA, LAMBDA, RHO

LETTERS = {"eta": ETA, "rho": RHO, "lambda": LAMBDA}
"""The paper's names of fields."""
SECTIONS = ("selector", "weighter", "gradient", "meta")
"""Fields of the config in which methods may differ; any other difference would make the comparison unfair."""


@dataclass(frozen=True)
class Method:
    """A way to pre-train: a name for tables and the config's fields that make it."""

    name: str
    fields: Mapping[str, Any]


def selecting() -> dict[str, Method]:
    """Plain training on what a selector chose, by the selector's name; its size and options are settings to be given
    (`simcore selected_share=0.2 selector.features=run:runs/mine`)."""
    return {name: Method(name, {"weighter": "uniform", "selector": name}) for name in selector_names()}


def chosen(texts: Sequence[str], known: Mapping[str, Method]) -> list[Method]:
    """The methods that a command line names, such as "BDW", "BDW eta=100 meta_every=2" or "Fast: BDW meta_every=2".

    Settings are the config's fields of weighting, by name or dotted path (`weighter.cdf_threshold=0.3`), or the paper's
    eta, rho and lambda. A method's name is the text before a colon and a space, or its whole text.

    Raises `InputError` for an unknown name or field, what is no setting, a selector without what it needs, and a method
    given twice or none at all.
    """
    require_some("methods", texts)
    methods = [_method(text, known) for text in texts]
    require_each_once("methods", [method.name for method in methods])
    return methods


def _method(text: str, known: Mapping[str, Method]) -> Method:
    label, colon, settings = text.partition(": ")  # A setting holds no space.
    words = (settings if colon else text).split() or [""]
    if words[0] not in known:
        raise unknown_option("methods", words[0], known)
    shown = " ".join((label if colon else text).split())
    if colon and (not shown or shown in known or "|" in shown):
        raise InputError(
            f"methods: {text!r} cannot go by the name {shown!r}; allowed: NAME: METHOD, as in 'Fast: BDW', with a name "
            "that no other method has and without '|'"
        )
    fields = dict(known[words[0]].fields)
    for word in words[1:]:
        name, value = _setting(word, fields.get("selector"))
        fields[name] = value
    if "selector" in fields:
        from bdw.weighting import selection  # Takes torch, which few methods need.

        own = {name: value for name, value in fields.items() if name.startswith(("selector", "selected_"))}
        try:
            selection.chooser(RunConfig().replace(**own).selector)
        except InputError as error:
            raise InputError(f"methods: {text!r}: {error}") from None
    return Method(shown, fields)


def _setting(text: str, selector: str | None) -> tuple[str, Any]:
    """Field and value; `selector`: whose options may be named."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"methods: {text!r} is no setting; allowed: NAME=VALUE, as in 'BDW eta=100'")
    allowed = {key: field for key, field in run_fields(selector=selector).items() if field.section in SECTIONS}
    letters = {letter: allowed[key] for letter, key in LETTERS.items()}
    field = resolved(name, allowed | letters, "methods").key
    try:
        return field, json.loads(value)
    except json.JSONDecodeError:
        return field, value  # A word, such as prototype.
