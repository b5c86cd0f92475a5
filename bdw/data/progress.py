"""A progress bar for long packings, on standard error and only for humans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bdw.data.source_and_targets import LabelledProgress

_EVERY = 64
"""Images between two updates."""


@contextmanager
def packing_bar() -> Iterator[LabelledProgress]:
    """A callback for `load` that draws one line for each part; it vanishes afterwards and is silent in a file."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {}

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            if done % _EVERY == 0 or done == total:
                bar.update(tasks[what], completed=done)

        yield report
