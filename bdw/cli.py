"""The command line: parses, calls one function, sets the exit status.

0 all went well; 1 the run failed, or `doctor` found what prevents one; 2 the input cannot work; 130 interrupted;
143 asked to end by SIGTERM, with a checkpoint of what was trained.
torch is imported after the arguments are parsed, so that `--help` and a wrong option answer at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args

import tyro

from bdw.commands.flags import Shown, fields_with_flags, parsed, registry
from bdw.commands.options import (
    Certify,
    Command,
    Doctor,
    Embed,
    Evaluate,
    Export,
    Fit,
    Leaks,
    Pack,
    Replay,
    Report,
    Score,
    Select,
    StartingPoint,
)
from bdw.config import RunConfig
from bdw.config.preset_registry import require_one_length
from bdw.errors import InputError, RunError, RunStopped, Terminated, unknown_option
from bdw.parallel import torchrun
from bdw.parallel.leaving import leave
from bdw.storage.spelt_out import HANDLER

HELP_ALL = "--help-all"


def parse(arguments: Sequence[str]) -> Command:
    """The command that these arguments name; exits with status 0 after showing help.

    Raises `InputError` for options and values that cannot work.
    """
    known = {cls.__name__.lower(): cls for cls in get_args(Command)}
    if arguments and not arguments[0].startswith("-") and arguments[0] not in known:
        raise unknown_option("command", arguments[0], known)
    config = _starting_point(arguments)
    subcommand = tyro.conf.subcommand
    # Built at run time, since the defaults depend on --preset; no type checker can follow.
    commands: Any = (
        Annotated[Fit, subcommand("fit", default=Fit(config=config))]
        | Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Export, subcommand("export")]
        | Annotated[Score, subcommand("score")]
        | Annotated[Embed, subcommand("embed")]
        | Annotated[Select, subcommand("select", default=Select(out=tyro.MISSING, selector=config.selector))]
        | Annotated[Certify, subcommand("certify")]
        | Annotated[Leaks, subcommand("leaks")]
        | Annotated[Pack, subcommand("pack")]
        | Annotated[Replay, subcommand("replay")]
        | Annotated[Report, subcommand("report")]
        | Annotated[Doctor, subcommand("doctor")]
    )
    shown = Shown.ALL if HELP_ALL in arguments else Shown.BASIC if {"-h", "--help"} & {*arguments} else Shown.ACCEPTED
    command = parsed(
        commands,
        ["--help" if word == HELP_ALL else word for word in arguments],
        prog="bdw" if Path(sys.argv[0]).stem == "bdw" else "python -m bdw",
        names=_names(known.get(arguments[0]) if arguments else None, config),
        registry=registry(config, shown),
        description=(
            "Goal-driven self-supervised pre-training: learns how useful every unlabelled image is for your task."
        ),
    )
    assert isinstance(command, Command)
    return _with_given_sizes(command, arguments) if isinstance(command, Fit) else command


def run() -> NoReturn:
    """`main` as a process of its own, which ends with its status."""
    leave(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    _spell_out_what_the_console_lacks()
    try:
        command = parse(sys.argv[1:] if arguments is None else arguments)
        return _run(command)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (RunStopped, Terminated) as stopped:
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
    if isinstance(command, Doctor):
        return _examine(command)
    if isinstance(command, Fit) and (command.workers.num_workers is not None or torchrun.place(os.environ)[0] == 0):
        _say_at_once(f"reading the source {command.config.data.source}")
    from bdw.commands import first_checks

    first_checks.check(command)
    match command:
        case Fit():
            from bdw.training.checks import check_names

            check_names(command.config)
            from bdw.commands.fit import fit_from_console

            fit_from_console(command.config, command.workers)
        case Evaluate():
            from bdw.commands.evaluate import evaluate

            evaluate(command)
        case Export():
            from bdw.commands.export import export

            export(command)
        case Score():
            from bdw.commands.score import score_from_console

            score_from_console(command)
        case Embed():
            from bdw.commands.embed import embed

            embed(command)
        case Select():
            from bdw.commands.select import select_from_console

            select_from_console(command)
        case Certify():
            from bdw.commands.certify import certify_from_console

            certify_from_console(command)
        case Leaks():
            from bdw.commands.leaks import list_leaks

            list_leaks(command)
        case Pack():
            from bdw.commands.pack import pack

            pack(command)
        case Replay():
            from bdw.commands.replay import replay_run

            replay_run(command)
        case Report():
            from bdw.commands.report import report

            report(command.directory)
    return 0


def _examine(command: Doctor) -> int:
    if not command.json:
        _say_at_once("looking at this machine")
    from bdw.commands import doctor

    findings = doctor.examine_gpu() if command.gpu else doctor.examine(command.run_dir)
    print(doctor.as_json(findings) if command.json else doctor.render(findings))
    return 1 if doctor.prevents_a_run(findings) else 0


def _say_at_once(what: str) -> None:
    """A line before the imports, which take many seconds on a slow machine or disk."""
    try:
        version = importlib.metadata.version("beta-data-weighter")
    except importlib.metadata.PackageNotFoundError:
        version = "(not installed)"
    print(f"bdw {version}: {what} ...", flush=True)


def _spell_out_what_the_console_lacks() -> None:
    """Names of files may hold what the console's encoding has no letters for, or bytes that are no letters at all."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def _starting_point(arguments: Sequence[str]) -> RunConfig:
    """The defaults of `fit`: those of --preset if it is given, otherwise those that suit the source. For `select` the
    options of --selector alone matter."""
    if arguments[:1] not in (["fit"], ["select"]):
        return RunConfig()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            given, _ = tyro.cli(StartingPoint, args=arguments[1:], add_help=False, return_unknown_args=True)
    except SystemExit:  # An option lacks its value, which the whole command line is told.
        return RunConfig()
    values = {name: value for name, value in vars(given).items() if value not in (None, (), "None", "none")}
    if arguments[0] == "select":
        return RunConfig().replace(**{name: value for name, value in values.items() if name == "selector"})
    require_one_length(values.pop("epochs", None), values.pop("budget_images", None))
    return RunConfig.from_flat(values)


def _with_given_sizes(command: Fit, arguments: Sequence[str]) -> Fit:
    """The command, whose episode and target batch shrink only where the arguments do not say how large they are."""
    flags = (word.partition("=")[0].rpartition(".")[2] for word in arguments if word.startswith("--"))
    given = {flag.lstrip("-").replace("-", "_") for flag in flags}
    if "may_shrink" in given:
        return command
    config = command.config
    return dataclasses.replace(command, config=dataclasses.replace(config, meta=config.meta.without_shrinking(given)))


def _names(command: type | None, config: RunConfig) -> list[str]:
    """Of all options of the command."""
    names = [field.name for field in dataclasses.fields(command)] if command else []
    if command is Fit:
        names = ["preset", *(name for field in fields_with_flags(config) for name in (field.key, field.path))]
    if command is Select:
        names += [field.path for field in fields_with_flags(config) if field.section == "selector"]
    return [name.replace("_", "-") for name in ["help", *names]]
