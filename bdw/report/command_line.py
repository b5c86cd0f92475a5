"""The command that repeats a run or a sweep: all options that differ from their defaults, quoted for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from bdw.config import presets

# Where a run continued from is not part of what it computes; a size that is named does not shrink anyway.
NOT_REPEATED = frozenset({"resume", "may_shrink"})


def fit_command(config: Mapping[str, Any]) -> str:
    """The shell command for a flat config (as in `config.json`): the preset that needs the fewest further options, and
    these options.

    The command leaves out what the command line fills in by itself for that source, its preset included.
    """
    own = {name: value for name, value in config.items() if name not in NOT_REPEATED}
    if own.get("budget_images") is not None:
        own.pop("epochs", None)  # A run has one length, and the command line takes no second.
    usual = presets.default_for(config.get("source"))
    options = {name: changed_options(own, _defaults(name, own)) for name in (usual, *presets.available())}
    named = {name: ["--preset", name, *words] for name, words in options.items()}
    # The usual preset need not be named: the command line takes it for that source. But the source must be named,
    # unless it is the usual one, too.
    tells = usual == presets.default_for(None) or "--source" in options[usual]
    named[usual] = options[usual] if tells else ["--source", str(own["source"]), *options[usual]]
    # The first of equals is the usual one.
    return shlex.join(["python", "-m", "bdw", "fit", *min(named.values(), key=len)])


def _defaults(preset: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """Of the preset, and of the options that the run's own pretext task and selector have."""
    config = presets.build(preset)
    task, selector = own.get("pretext", config.pretext.pretext), own.get("selector", config.selector.selector)
    return config.replace(pretext=task, selector=selector).flat() | config.flat()


def changed_options(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Words of a command line for the values that differ from `defaults`."""
    changed = {name: value for name, value in values.items() if name not in defaults or defaults[name] != value}
    return [word for name, value in changed.items() for word in _option(name.replace("_", "-"), value)]


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, (list, tuple)):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}", str(value)]
