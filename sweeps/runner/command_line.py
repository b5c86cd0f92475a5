"""Options from the command line, with one line and exit status 2 for what cannot work."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from bdw.errors import InputError
from bdw.report.command_line import changed_options

BAD_INPUT = 2
INTERRUPTED = 130

Options = TypeVar("Options")


def parse(options: type[Options], arguments: Sequence[str] | None = None, *, prog: str) -> Options:
    """The options as a dataclass. Raises `InputError` for unknown options and wrong values."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(options, args=arguments, prog=prog)
    except SystemExit as stop:
        if stop.code == BAD_INPUT:
            raise InputError(_one_line(said.getvalue())) from None
        raise


def run(main: Callable[[], None], *, prog: str) -> int:
    """Call `main` and return the exit status: 0, 2 for bad input, 130 after Ctrl-C."""
    try:
        main()
    except InputError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"{prog}: stopped; the same command continues where it was", file=sys.stderr)
        return INTERRUPTED
    return 0


def repeated(options: Any, *, prog: str) -> str:
    """The shell command that gives these options again, defaults left out."""
    values = dataclasses.asdict(options)
    words = changed_options(values, dataclasses.asdict(type(options)()))
    return shlex.join(["python", f"sweeps/{prog}.py", *words])


def _one_line(boxed: str) -> str:
    """The text of tyro's error box, up to the box's first rule."""
    words: list[str] = []
    for line in boxed.splitlines()[1:]:
        if "───" in line:
            break
        words += re.sub(r"[│╭╮╰╯]", " ", line).split()
    return " ".join(words)
