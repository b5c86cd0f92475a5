"""What a command can refuse before torch is imported: data, runs and files that are not there, or there already.

The commands check all of this again, and more, once they have what they need; this is for an answer at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bdw import evaluation, plugins
from bdw.commands.options import Command, Embed, Evaluate, Export, Fit, Pack, Report, Score, Select
from bdw.config import DataConfig, RunConfig, SelectorConfig
from bdw.config.encoder import ENCODERS, PLUG_INS, TIMM
from bdw.config.pretext import task_names
from bdw.config.selector import selector_names
from bdw.config.weighter import WEIGHTERS
from bdw.data import readers
from bdw.errors import InputError, unknown_option
from bdw.evaluation import Measure
from bdw.parallel import torchrun
from bdw.runs.directory import RunDirectory
from bdw.storage.atomic_write import require_new
from bdw.storage.remote_folder import is_address


def check(command: Command) -> None:
    """`InputError` for what the command line and a look at the disk show to be impossible. Changes nothing."""
    match command:
        case Fit():
            check_names(command.config)
            # Workers elsewhere may see other disks than this process.
            if command.workers.num_workers is None and torchrun.place(os.environ)[1] == 1:
                _check_data(command.config.data)
                if not command.config.output.resume:
                    RunDirectory(Path(command.config.output.run_dir).resolve()).claim(command.config)
        case Evaluate():
            measure_of_an_encoder(command.measure)
            encoder_file(command.run, command.encoder)
        case Export() if command.format == "hub":
            pass  # Takes a run alone, and says so.
        case Export():
            encoder_file(command.run, command.encoder)
        case Embed():
            check_embed(command)
        case Score():
            require_new(command.out)
            RunDirectory(command.run).require_finished()
        case Select():
            _check_selector(command.selector)
            require_new(command.out)
        case Pack():
            option = "source" if command.part == "source" else "target"
            _check_name(command.spec, option, command.image_size, command.data_root, command.download)
        case Report():
            _require_folder(command.directory, "directory", "a run or sweep directory")
        case _:
            pass


def check_names(config: RunConfig) -> None:
    """`InputError`, with the nearest name, for a part that neither this package nor a plug-in has.

    Models of timm are left to timm.
    """
    encoders = {*ENCODERS, *plugins.names(PLUG_INS)}
    if not config.encoder.encoder.startswith(TIMM):
        _check_known("encoder", config.encoder.encoder, [*encoders, f"{TIMM}NAME"])
    _check_known("pretext", config.pretext.pretext, task_names())
    _check_known("weighter", config.weighter.weighter, WEIGHTERS)
    _check_selector(config.selector)
    chosen = config.evaluation
    fields = {"measure": (chosen.measure,), "monitors": chosen.monitors, "final_measures": chosen.final_measures}
    for field, names in fields.items():
        for name in names:
            _check_known(field, name, evaluation.available())


def _check_selector(config: SelectorConfig) -> None:
    if config.selector is not None:
        _check_known("selector", config.selector, selector_names())


def _check_known(field: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise unknown_option(field, value, known)


def measure_of_an_encoder(name: str) -> Measure:
    """The measure of that name; `InputError` for one that there is not, or that takes more than an encoder file."""
    measure = evaluation.measure(name)
    if measure.needs_head:
        raise InputError(f"measure: {measure.name!r} needs the pretext head, which an encoder file does not hold")
    if measure.needs_kept:
        raise InputError(
            f"measure: {measure.name!r} needs the images that a run kept; allowed: fit --evaluation.final-measures "
            f"{measure.name}"
        )
    return measure


def check_embed(command: Embed) -> None:
    """`InputError` for an encoder that is not named once, a run that has not finished, and a file of another kind."""
    if (command.run is None) == (command.encoder is None):
        raise InputError("run, encoder: give one of --run DIR and --encoder FILE")
    if command.out.suffix not in (".parquet", ".npy"):
        raise InputError(f"out: {command.out} ends in {command.out.suffix!r}; allowed: .parquet, .npy")
    require_new(command.out)
    if command.run is not None:
        RunDirectory(command.run).require_finished()


def encoder_file(run: Path | None, encoder: Path | None) -> Path:
    """The encoder of that run, or that file; `InputError` for none or both, and for a run that has left none."""
    if run is not None and encoder is None:
        _require_folder(run, "run", "the directory of a run")
        if not (run / "encoder.safetensors").is_file():
            raise InputError(
                f"run: {str(run)!r} holds no encoder.safetensors; allowed: the directory of a run that has ended"
            )
        return run / "encoder.safetensors"
    if run is not None or encoder is None:
        raise InputError("run, encoder: give one of --run DIR and --encoder FILE")
    return encoder


def _require_folder(path: Path, option: str, allowed: str) -> None:
    if not path.is_dir():
        raise InputError(f"{option}: {str(path)!r} does not exist; allowed: {allowed}")


def _check_data(config: DataConfig) -> None:
    for option, spec in (("source", config.source), *(("target", name) for name in config.target_names)):
        _check_name(spec, option, config.image_size, config.data_root, config.download)


def _check_name(spec: str, option: str, image_size: int, data_root: str | None, download: bool) -> None:
    """`InputError` for a name of data that means nothing here. Addresses are left to whoever reads them."""
    if not is_address(spec) and not (data_root is not None and is_address(data_root)):
        readers.resolve(spec, option=option, image_size=image_size, data_root=data_root, download=download)
