"""`python -m bdw evaluate`: how good an encoder is for a labelled target."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bdw.commands.first_checks import encoder_file, measure_of_an_encoder
from bdw.config import RunConfig
from bdw.data import load_target, packing_bar
from bdw.data.problem import not_read_here
from bdw.encoders.precision import compute_in
from bdw.errors import InputError
from bdw.evaluation import Examination
from bdw.evaluation.features import Settings, check_layer
from bdw.parallel import device
from bdw.runs.directory import RunDirectory
from bdw.runs.export import read_encoder

if TYPE_CHECKING:
    from bdw.commands.options import Evaluate


def evaluate(command: Evaluate) -> None:
    """Print the measure of that encoder on the test images of the target."""
    measure = measure_of_an_encoder(command.measure)
    file = encoder_file(command.run, command.encoder)
    encoder, metadata = read_encoder(file)
    encoder.to(device.choose(command.device))
    compute_in("float32", encoder)
    config = _evaluation_config(command, metadata)
    settings = Settings.from_config(config)
    check_layer(encoder, settings.layer)
    with tempfile.TemporaryDirectory() as temporary, packing_bar() as bar:
        work_dir = Path(temporary) if command.run is None else command.run
        target = load_target(config.data, work_dir, channels=int(metadata["channels"]), progress=bar)
        for other in not_read_here(config.data):
            print(f"note: {other}")
        measure.check(settings, len(target.development))
        examination = Examination(encoder=encoder, target=target, split="test", settings=settings, progress=bar)
        score = measure.evaluate(examination)
    print(
        f"{measure.name} {score:.4f} on {len(target.test):,} test images of {config.data.target} "
        f"({len(target.classes)} classes; {len(target.development):,} labelled images to learn from; "
        f"layer {settings.layer or 'output'})"
    )


def _evaluation_config(command: Evaluate, metadata: dict[str, str]) -> RunConfig:
    """How the target is read and measured: as in the encoder's own run, with what the command line says differently."""
    if command.run is not None:
        config = _run_config(command.run)
    elif command.target is None:
        raise InputError("target: an encoder by itself does not say what it was trained for; give --target")
    else:
        size, crop = int(metadata["image_size"]), int(metadata["crop_size"])
        config = RunConfig().replace(image_size=size, crop_size=crop, crop_padding=max(0, (crop - size + 1) // 2))
    names = ("target", "data_root", "layer", "neighbours", "fine_tuning_epochs", "max_iterations")
    given = {name: getattr(command, name) for name in names if getattr(command, name) is not None}
    return config.replace(download=command.download, **given)


def _run_config(run_dir: Path) -> RunConfig:
    run = RunDirectory(run_dir)
    try:
        values = run.read_config()["config"]
    except (InputError, KeyError) as error:
        raise InputError(f"run: {run.config} is not there or damaged; give --encoder and --target instead") from error
    return RunConfig.from_earlier(values)
