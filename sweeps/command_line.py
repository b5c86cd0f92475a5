"""Options from the command line, with one line and exit status 2 for what cannot work."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import tyro

from bdw.errors import InputError

BAD_INPUT = 2
INTERRUPTED = 130

Options = TypeVar("Options")


def parse(options: type[Options], arguments: Sequence[str] | None = None, *, prog: str) -> Options:
    """The options as a dataclass. Raises `InputError` for what is not an option or not a value of one."""
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


def _one_line(boxed: str) -> str:
    """What tyro says in a box, up to the box's first rule."""
    words: list[str] = []
    for line in boxed.splitlines()[1:]:
        if "───" in line:
            break
        words += re.sub(r"[│╭╮╰╯]", " ", line).split()
    return " ".join(words)
