"""The command that repeats a run: `python -m bdw fit` with every option whose value is not the default."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from bdw.config import RunConfig

# Where a run continued from is not part of what it computes.
NOT_REPEATED = frozenset({"resume"})


def fit_command(config: Mapping[str, Any]) -> str:
    """The shell command line for a flat config (as in `config.json`); fields at their defaults are left out."""
    defaults = RunConfig().flat()
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
