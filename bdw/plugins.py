"""Parts of other packages, found by their entry points: pretext tasks, encoders, selectors, readers and measures.

A package names them in its pyproject.toml, and once it is installed they go by these names like the built-in ones:

    [project.entry-points."bdw.pretext"]
    mirrored = "my_package.mirrored:Mirrored"

Nothing of such a package is imported before somebody asks for one of its names. A name that is built in always means
the built-in part. What each group must name is said in docs/how-to/plug-ins.md.
"""

from __future__ import annotations

import functools
from importlib import metadata
from typing import Any, Literal, get_args

from bdw.errors import InputError

Group = Literal["bdw.pretext", "bdw.encoders", "bdw.selectors", "bdw.readers", "bdw.measures"]
GROUPS: tuple[Group, ...] = get_args(Group)


@functools.cache
def entries(group: Group) -> dict[str, tuple[metadata.EntryPoint, ...]]:
    """Name -> the entry points of that name in the group, as a rule one; of what is installed when first asked."""
    found: dict[str, tuple[metadata.EntryPoint, ...]] = {}
    for entry in metadata.entry_points(group=group):
        found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def names(group: Group) -> tuple[str, ...]:
    """The names that installed packages give to parts of this kind, sorted."""
    return tuple(sorted(entries(group)))


def load(group: Group, name: str, field: str) -> Any:
    """The object that this entry point names; `name` is one of `names(group)`.

    Raises `InputError`, one line that begins with `field`, where two packages use the name or the import fails.
    """
    found = entries(group)[name]
    if len(found) > 1:
        packages = " and ".join(sorted(map(package, found)))
        raise InputError(f"{field}: {name!r} is a name in {packages}; allowed: a name of one package, so uninstall one")
    try:
        return found[0].load()
    except Exception as error:  # The code of others may fail in any way.
        reason = " ".join(str(error).split()) or "no message"
        raise InputError(
            f"{field}: {name!r} ({found[0].value} of {package(found[0])}) cannot be imported "
            f"({type(error).__name__}: {reason}); allowed: a package whose import works"
        ) from error


def refused(group: Group, name: str, field: str, wanted: str) -> InputError:
    """The error for an object of the wrong kind behind an entry point; `wanted` says what it must be."""
    entry = entries(group)[name][0]
    return InputError(f"{field}: {name!r} ({entry.value} of {package(entry)}) is not {wanted}; allowed: {wanted}")


def package(entry: metadata.EntryPoint) -> str:
    """Name and version of the package that an entry point belongs to."""
    return "an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
