"""The command that repeats a run: `python -m bdw fit` with every option that its source's preset has otherwise."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from bdw import presets

# Where a run continued from is not part of what it computes.
NOT_REPEATED = frozenset({"resume"})


def fit_command(config: Mapping[str, Any]) -> str:
    """The shell command for a flat config (as in `config.json`); what the command line fills in itself is left out."""
    defaults = presets.build(presets.default_for(config.get("source"))).flat()
    words = ["python", "-m", "bdw", "fit"]
    for name, value in config.items():
        if name in NOT_REPEATED or (name in defaults and defaults[name] == value):
            continue
        words.extend(_option(name.replace("_", "-"), value))
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, (list, tuple)):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}", str(value)]
