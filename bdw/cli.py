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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from bdw import presets
from bdw.config import RunConfig, WorkersConfig
from bdw.errors import InputError, RunError, RunStopped, unknown_option

PRESET_HELP = (
    "Settings to start from; other flags override them. Default: `glyphs` for the embedded pool and without --source, "
    "`digits` for the embedded digits, `recommended` (ResNet-18, 96x96 pixels) for any other source."
)

# What `replay` maps: the range in which sweeps search, and the paper's own values.
CDF_THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
DENSITY_THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Train one encoder on an unlabelled source while learning how useful each of its images is for the target.

    Leaves encoder.safetensors, instance_weights.parquet, metrics.csv, results.parquet and report.html in the run
    directory. Under torchrun every process is a worker; with --num-workers Ray starts them, here or on a cluster.
    """

    preset: Annotated[str | None, tyro.conf.arg(help=f"{PRESET_HELP} One of: {', '.join(presets.available())}.")] = None
    config: Annotated[tyro.conf.OmitArgPrefixes[RunConfig], tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    workers: Annotated[tyro.conf.OmitArgPrefixes[WorkersConfig], tyro.conf.arg(name="")] = field(
        default_factory=WorkersConfig
    )


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure an encoder on a labelled target, by default the accuracy of a logistic regression on frozen features.

    What is fitted is fitted on the target's train and validation images; it is measured on its test images.
    """

    run: Path | None = None
    """Run directory whose best encoder is measured; its config says how images are cut."""
    encoder: Path | None = None
    """Or an encoder.safetensors by itself."""
    target: str | None = None
    """Labelled target, named as for `fit`; default: the run's own."""
    data_root: str | None = None
    """Folder under which torchvision's data sets lie; default: the run's own."""
    download: bool = False
    """Let torchvision download a data set that is not under data_root."""
    device: str = "auto"
    """Where features are extracted: auto, cpu or cuda."""
    measure: str = "accuracy"
    """accuracy (logistic regression), fine_tuned_accuracy (the paper's grid; takes long), knn_accuracy or rankme."""
    layer: str | None = None
    """Layer of the backbone whose features are measured, such as layer2; default: the run's own, or the output."""
    neighbours: int | None = None
    """Neighbours that vote in knn_accuracy; default: the run's own, or 20."""
    fine_tuning_epochs: int | None = None
    """Epochs of every cell of the fine-tuning grid; default: the run's own, or 100."""
    max_iterations: int | None = None
    """Upper limit of L-BFGS iterations; default: the run's own, or 800."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Decode and resize images once into a memory-mapped data set that every command then reads in no time."""

    spec: tyro.conf.Positional[str]
    """A reader's name, an image folder or an .npz file, as for --source."""
    out: tyro.conf.Positional[Path]
    """New folder for the packed data set."""
    part: str = "source"
    """`source`: what a run would take as its source; `train`, `validation` or `test`: a split of a labelled target."""
    image_size: int = 96
    """Side in pixels to which images are resized (and centre cropped)."""
    channels: int | None = None
    """3 for colour, 1 for grey; default: what the data set has."""
    data_root: str | None = None
    """Folder under which torchvision's data sets lie (or are downloaded to, with --download)."""
    download: bool = False
    """Let torchvision download a data set that is not under data_root."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Tell what every lambda and rho would have pruned, and when, from one run that was made with --record-trajectory.

    Prints tables and leaves replay.csv and replay.png. Exact up to the first epoch that prunes anything.
    """

    run: Path
    """Run directory; best of a run with --record-trajectory --no-prune."""
    cdf_threshold: Annotated[tuple[float, ...], tyro.conf.arg(aliases=["--lambda"])] = CDF_THRESHOLDS
    """lambda: weights below it count as useless."""
    density_threshold: Annotated[tuple[float, ...], tyro.conf.arg(aliases=["--rho"])] = DENSITY_THRESHOLDS
    """rho: prune once more than this share of an image's Beta density lies below lambda."""
    burn_in_epochs: int | None = None
    """Epochs at the start after which nothing is pruned yet; default: the run's own."""
    out: Path | None = None
    """Folder for replay.csv and replay.png; default: the run directory."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write report.html of a run or a sweep anew from the files in its directory."""

    directory: tyro.conf.Positional[Path]
    """Run or sweep directory."""


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Say what this machine has, what is wrong with it and what to do. Exit status 1 if something prevents a run."""

    run_dir: Path = Path("runs")
    """Where runs will be written."""
    json: bool = False
    """Print a JSON list for machines."""


Command = Fit | Evaluate | Pack | Replay | Report | Doctor


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
            from bdw import doctor

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
