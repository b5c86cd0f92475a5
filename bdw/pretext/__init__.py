"""Pretext tasks: what an unlabelled image teaches. One file and one line in `_TASKS` each."""

from __future__ import annotations

from collections.abc import Callable

from bdw.errors import unknown_option
from bdw.pretext.base import PretextModel, PretextOutput, PretextTask

__all__ = ["PretextModel", "PretextOutput", "PretextTask", "available", "build"]


def _tasks() -> dict[str, Callable[[], PretextTask]]:
    from bdw.pretext.rotation import Rotation
    from bdw.pretext.vae import VariationalAutoEncoder

    return {"rotation": Rotation, "vae": VariationalAutoEncoder}


def available() -> tuple[str, ...]:
    """Names that the config field `pretext` accepts."""
    return tuple(sorted(_tasks()))


def build(name: str) -> PretextTask:
    """The pretext task of that name."""
    tasks = _tasks()
    if name not in tasks:
        raise unknown_option("pretext", name, tasks)
    return tasks[name]()
