"""Options from the command line, with one line and exit status 2 for what cannot work."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bdw.commands.flags import parsed
from bdw.errors import InputError, Terminated
from bdw.parallel.sigterm import sigterm_as_interrupt
from bdw.report.command_line import changed_options

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143

Options = TypeVar("Options")


def parse(options: type[Options], arguments: Sequence[str] | None = None, *, prog: str) -> Options:
    """The options as a dataclass. Raises `InputError` for unknown options and wrong values."""
    names = [field.name.replace("_", "-") for field in dataclasses.fields(options)]  # type: ignore[arg-type]
    found: Options = parsed(options, sys.argv[1:] if arguments is None else arguments, prog=prog, names=names)
    return found


def run(main: Callable[[], None], *, prog: str) -> int:
    """Call `main` and return the exit status: 0, 2 for bad input, 130 after Ctrl-C, 143 after SIGTERM, which does the
    same."""
    with sigterm_as_interrupt() as was_sigterm:
        try:
            main()
        except InputError as error:
            print(f"{prog}: {error}", file=sys.stderr)
            return BAD_INPUT
        except Terminated as stopped:
            print(f"{prog}: {stopped}", file=sys.stderr)
            return TERMINATED
        except KeyboardInterrupt:
            by = " by SIGTERM" if was_sigterm() else ""
            print(f"{prog}: stopped{by}; the same command continues where it was", file=sys.stderr)
            return TERMINATED if was_sigterm() else INTERRUPTED
        return 0


def repeated(options: Any, *, prog: str) -> str:
    """The shell command that gives these options again, defaults left out."""
    values = dataclasses.asdict(options)
    words = changed_options(values, dataclasses.asdict(type(options)()))
    return shlex.join(["python", f"sweeps/{prog}.py", *words])
