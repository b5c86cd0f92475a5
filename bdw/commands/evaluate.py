"""`python -m bdw evaluate`: how good an encoder is for a labelled target."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bdw.config import DataConfig, RunConfig
from bdw.data import load_target, packing_bar
from bdw.errors import InputError
from bdw.evaluation import linear_probe
from bdw.export import read_encoder
from bdw.run_directory import RunDirectory

if TYPE_CHECKING:
    from bdw.cli import Evaluate


def evaluate(command: Evaluate) -> None:
    """Print the accuracy, over instances, of a logistic regression on the encoder's features of the target."""
    if (command.run is None) == (command.encoder is None):
        raise InputError("run, encoder: give one of --run DIR and --encoder FILE")
    file = command.encoder if command.run is None else command.run / "encoder.safetensors"
    assert file is not None
    encoder, metadata = read_encoder(file)
    encoder.to(_device(command.device))
    data = _evaluation_data(command, metadata)
    with tempfile.TemporaryDirectory() as temporary, packing_bar() as bar:
        work_dir = Path(temporary) if command.run is None else command.run
        target = load_target(data, work_dir, channels=int(metadata["channels"]), progress=bar)
        settings = linear_probe.Settings(crop_size=data.crop_size, max_iterations=command.max_iterations)
        accuracy = linear_probe.evaluate(encoder, target.development, target.test, settings)
    print(
        f"accuracy {accuracy:.4f} on {len(target.test):,} test images of {data.target} "
        f"({len(target.classes)} classes; logistic regression on {len(target.development):,} labelled images)"
    )


def _evaluation_data(command: Evaluate, metadata: dict[str, str]) -> DataConfig:
    """How the target is read: as in the encoder's own run, with what the command line says differently."""
    size, crop = int(metadata["image_size"]), int(metadata["crop_size"])
    if command.run is not None:
        data = _run_config(command.run).data
    elif command.target is None:
        raise InputError("target: an encoder by itself does not say what it was trained for; give --target")
    else:
        data = DataConfig(image_size=size, crop_size=crop, crop_padding=max(0, (crop - size + 1) // 2))
    return dataclasses.replace(
        data,
        target=command.target or data.target,
        data_root=command.data_root or data.data_root,
        download=command.download,
    )


def _run_config(run_dir: Path) -> RunConfig:
    run = RunDirectory(run_dir)
    try:
        return RunConfig.from_flat(run.read_config()["config"])
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise InputError(f"run: {run.config} is not there or damaged; give --encoder and --target instead") from error


def _device(wanted: str) -> torch.device:
    if wanted not in ("auto", "cpu", "cuda"):
        raise InputError(f"device: {wanted!r} is not known; allowed: auto, cpu, cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("device: 'cuda' was asked for, but torch sees no GPU here; allowed: auto, cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
