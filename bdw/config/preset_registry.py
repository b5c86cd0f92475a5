"""Presets by name, and the one from which a run starts that names none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from bdw.errors import InputError, unknown_option

Preset = TypeVar("Preset", bound=Callable[[], Any])
"""A function that returns a `RunConfig`; that class asks this registry where to start, so it is not named here."""
_PRESETS: dict[str, Callable[[], Any]] = {}


def preset(function: Preset) -> Preset:
    """Decorates a function that returns a complete config: `--preset` takes its name, without the underscore behind a
    word that Python keeps for itself."""
    _PRESETS[function.__name__.rstrip("_")] = function
    return function


def available() -> tuple[str, ...]:
    """Names that `--preset` accepts."""
    return tuple(sorted(_PRESETS))


def build(name: str) -> Any:
    """The config of that preset. Raises `InputError` for a name that there is not."""
    if name not in _PRESETS:
        raise unknown_option("preset", name, _PRESETS)
    return _PRESETS[name]()


def default_for(source: str | None) -> str:
    """The preset of a run that names none: `glyphs` for the embedded pool and without a source, `digits` for the
    embedded digits, `recommended` for any other source."""
    if source is None or source.partition(":")[0] == "glyphs":
        return "glyphs"
    return "digits" if source == "digits" else "recommended"


def require_one_length(epochs: object, budget_images: object) -> None:
    """`InputError` if a run is given two lengths."""
    if epochs is not None and budget_images is not None:
        raise InputError(
            f"epochs, budget_images: {epochs} and {budget_images} are both given; allowed: one of the two, since a run "
            "has one length"
        )


def starting_point(values: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The config from which a run with these values starts, and the values without the preset's name."""
    rest = dict(values)
    name, source = rest.pop("preset", None), rest.get("source", rest.get("data.source"))
    return build(default_for(None if source is None else str(source)) if name is None else name), rest
