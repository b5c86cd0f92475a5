"""The command line: parses, calls one function, sets the exit status.

0 all went well; 1 the run failed, or `doctor` found what prevents one; 2 the input cannot work; 130 interrupted;
143 asked to end by SIGTERM, with a checkpoint.
torch is imported after the arguments are parsed, so that `--help` and a wrong option answer at once.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from bdw.commands.options import Command, Doctor, Evaluate, Fit, Pack, Replay, Report
from bdw.config import RunConfig, presets
from bdw.errors import InputError, RunError, RunStopped, unknown_option


def parse(arguments: Sequence[str]) -> Command:
    """The command that these arguments name.

    `InputError` for values that cannot work. Exits with status 2 (0 for --help) after saying why where the arguments
    are not even options of a command.
    """
    fit_defaults = Fit(config=_preset(arguments))
    subcommand = tyro.conf.subcommand
    # Built at run time, since the defaults depend on --preset; no type checker can follow.
    commands: Any = (
        Annotated[Fit, subcommand("fit", default=fit_defaults)]
        | Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Pack, subcommand("pack")]
        | Annotated[Replay, subcommand("replay")]
        | Annotated[Report, subcommand("report")]
        | Annotated[Doctor, subcommand("doctor")]
    )

    def attempt(*, console_outputs: bool) -> Any:
        return tyro.cli(
            commands,
            prog="bdw" if Path(sys.argv[0]).stem == "bdw" else "python -m bdw",
            args=list(arguments),
            console_outputs=console_outputs,
            description=(
                "Goal-driven self-supervised pre-training: learns how useful every unlabelled image is for your task."
            ),
        )

    # tyro shows a config's ValueError in a box and words of its own. Ours is one line, the same everywhere, so the
    # first attempt is made in silence; only if its failure is none of ours does a second one say what is wrong.
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            parsed = attempt(console_outputs=False)
    except SystemExit as stop:
        rejected = _input_error_behind(stop) or _wrong_choice(arguments)
        if rejected is not None:
            raise rejected from None
        parsed = attempt(console_outputs=True)
    assert isinstance(parsed, Command)
    return parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    try:
        command = parse(sys.argv[1:] if arguments is None else arguments)
        return _run(command)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except RunStopped as stopped:
        print(f"stopped: {stopped}", file=sys.stderr)
        return 143
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has gone. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # A full disk or a folder that may not be written to: the user's to mend, and no traceback helps with that.
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        return 1


def _run(command: Command) -> int:
    # Each command imports what it needs: `doctor` must work where torch does not, `report` where it takes long.
    match command:
        case Fit():
            from bdw.commands.fit import fit

            fit(command.config, command.workers)
        case Evaluate():
            from bdw.commands.evaluate import evaluate

            evaluate(command)
        case Pack():
            from bdw.commands.pack import pack

            pack(command)
        case Replay():
            from bdw.commands.replay import replay_run

            replay_run(command)
        case Report():
            from bdw.commands.report import report

            report(command.directory)
        case Doctor():
            from bdw.commands import doctor

            findings = doctor.examine(command.run_dir)
            print(doctor.as_json(findings) if command.json else doctor.render(findings))
            return 1 if doctor.prevents_a_run(findings) else 0
    return 0


def _preset(arguments: Sequence[str]) -> RunConfig:
    """The defaults of `fit`: those of --preset if it is given, otherwise those that suit the source."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--preset", nargs="?", default=None)
    finder.add_argument("--source", nargs="?", default=None)
    finder.add_argument("--epochs", nargs="?", default=None)
    finder.add_argument("--budget-images", "--budget_images", nargs="?", default=None)
    found = finder.parse_known_args(list(arguments))[0]
    if not arguments or arguments[0] != "fit":
        return RunConfig()
    if found.epochs is not None and found.budget_images not in (None, "None"):
        raise InputError(
            f"epochs, budget_images: {found.epochs} and {found.budget_images} are both given; allowed: one of the two, "
            "since a run has one length"
        )
    return presets.build(presets.default_for(found.source) if found.preset in (None, "None") else found.preset)


def _wrong_choice(arguments: Sequence[str]) -> InputError | None:
    """The error for an option of `fit` with few values, none of which it is given."""
    if not arguments or arguments[0] != "fit":
        return None
    for section in typing.get_type_hints(RunConfig).values():
        for name, kind in typing.get_type_hints(section).items():
            if typing.get_origin(kind) is not Literal:
                continue
            finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
            finder.add_argument(f"--{name.replace('_', '-')}", f"--{name}", dest="value", nargs="?")
            value = finder.parse_known_args(list(arguments))[0].value
            if value is not None and value not in typing.get_args(kind):
                return unknown_option(name, value, typing.get_args(kind))
    return None


def _input_error_behind(stop: SystemExit) -> InputError | None:
    error: BaseException | None = stop
    while error is not None and not isinstance(error, InputError):
        error = error.__context__
    return error
