"""A step of SimCLR and of Barlow Twins by ours and by the libraries people use: `python -m benchmarks.pretext_peers`.

All train the same small ResNet at 32 pixels on the same 64 random images with heads of the same widths, by SGD with
momentum; in turns, one thread, processor time.

ours            a plain step of a real run: gather, views, forward, loss, backward, update
ours, recipe    the same while the recommended recipe learns the weights
ours, exact     the same with the paper's exact weight gradient in every step
lightly         its transforms, one image after the other as its loader's workers do, its head and its loss
... views given the same without gather and views: what is left is the net, the head, the loss and the update

lightly and solo-learn are no dependencies of this project. They need an environment of their own, with this repository
in it (solo-learn asks for an old Lightning and for setuptools below 81):

    python -m venv .peers && .peers/bin/pip install -e . lightly
    .peers/bin/pip install --no-deps solo-learn lightning-bolts pytorch-lightning==1.9.5 lightning-fabric==1.9.5 \\
        setuptools==75.0
    .peers/bin/python -m benchmarks.pretext_peers

What is not installed, or does not run, is left out with its reason.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from bdw import encoders, pretext
from bdw.config import RunConfig
from bdw.config.presets import RECOMMENDED
from bdw.training.trainer import Trainer
from benchmarks.harness import interleaved_seconds, peak_megabytes, provenance, ratio, write_result
from benchmarks.random_problem import random_problem
from benchmarks.step_parts import run_steps

SIDE, BATCH, STEPS = 32, 64, 8
LEARNING_RATE = 1e-4
"""Small, so that nothing leaves the finite numbers however often a step is repeated."""
OURS, GIVEN = "ours", ", views given"
WEIGHTING: dict[str, dict[str, Any]] = {OURS: {"weighter": "uniform"}, "ours, recipe": RECOMMENDED, "ours, exact": {}}
LIBRARIES = {"lightly": "lightly", "solo-learn": "solo"}
"""What each is imported by."""
Step = Callable[[], object]


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    tasks: tuple[str, ...] = ("simclr", "barlow_twins")
    width: int = 512
    """Hidden units and outputs of Barlow Twins' head; SimCLR's are the encoder's features and 128."""
    rounds: int = 5
    """How often each is timed."""
    memory: bool = True
    """Measure the peak memory of a step as well, in a process of its own each."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Arguments) -> None:
    """Print what was left out and why, then a row for each, and keep the result if asked to."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for task in arguments.tasks:
        rows += _measured(task, arguments)
    print(f"\nsmall_resnet, {SIDE} pixels, batches of {BATCH}, {STEPS} steps a round")
    for row in rows:
        spread = f"({row['lowest']:.2f} to {row['highest']:.2f})"
        memory = f"{row['peak_megabytes']:7.0f} MB" if "peak_megabytes" in row else ""
        print(f"{row['task']:14} {row['variant']:26} {row['ms']:8.1f} ms  {row['ratio']:5.2f} {spread:15} {memory}")
    if arguments.save:
        versions = {name: _version(name) for name in LIBRARIES}
        write_result("pretext-peers-cpu", {**provenance(0), "versions": versions, "steps": rows})


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _measured(task: str, arguments: Arguments) -> list[dict[str, Any]]:
    """Ratios are to our plain step."""
    makers = _makers(task, arguments.width)
    with tempfile.TemporaryDirectory() as folder:
        seconds = interleaved_seconds(
            {name: make(Path(folder) / str(number)) for number, (name, make) in enumerate(makers.items())},
            arguments.rounds,
            time.process_time,
        )
        rows = []
        for number, (name, make) in enumerate(makers.items()):
            median, low, high = ratio(seconds, name, OURS)
            milliseconds = 1000 * statistics.median(seconds[name]) / STEPS
            row = {"task": task, "variant": name, "ms": milliseconds, "ratio": median, "lowest": low, "highest": high}
            if arguments.memory:
                row["peak_megabytes"] = round(peak_megabytes(make, Path(folder) / f"memory-{number}"), 1)
            rows.append(row)
    return rows


def _makers(task: str, width: int) -> dict[str, Callable[[Path], Step]]:
    """Name -> what prepares so many steps, in a folder of its own."""
    found: dict[str, Callable[[Path], Step]] = {
        name: functools.partial(_our_run, task, width, fields) for name, fields in WEIGHTING.items()
    }
    found[OURS + GIVEN] = functools.partial(_our_given, task, width)
    for name, module in LIBRARIES.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(f"{module}.{'loss' if name == 'lightly' else 'losses'}")
        except Exception as error:  # Whatever a library of years ago raises beside the torch of today.
            print(f"{name} is left out: {type(error).__name__}: {error}", flush=True)
            continue
        if name == "lightly":
            found[name] = functools.partial(_lightly_run, task, width)
        found[name + GIVEN] = functools.partial(_their_given, name, task, width)
    return found


def _widths(task: str, width: int) -> dict[str, int]:
    return {"pretext.hidden_dim": width, "pretext.projection_dim": width} if task == "barlow_twins" else {}


def _our_run(task: str, width: int, fields: dict[str, Any], folder: Path) -> Step:
    folder.mkdir(parents=True)
    config = RunConfig().replace(
        source="random", target="random", image_size=SIDE, crop_size=SIDE, encoder="small_resnet", batch_size=BATCH,
        epochs=100, learning_rate=LEARNING_RATE, pretext=task, cache_dir=str(folder), run_dir=str(folder / "run"),
        **_widths(task, width), **fields,
    )  # fmt: skip
    trainer = Trainer(config, problem=random_problem(folder, STEPS * BATCH, 3, SIDE, per_class=12))
    return functools.partial(run_steps, trainer, STEPS)


def _our_given(task: str, width: int, folder: Path) -> Step:
    del folder
    torch.manual_seed(0)
    options = RunConfig().replace(pretext=task, **_widths(task, width)).pretext.options
    encoder = encoders.build("small_resnet", 3, SIDE)
    model = pretext.PretextModel(encoder, pretext.build(task, encoder, options))
    views = pretext.Views(torch.rand(BATCH, 3, SIDE, SIDE), (torch.rand(2 * BATCH, 3, SIDE, SIDE),))
    return _steps(model, lambda: model.task.loss(model(views), torch.ones(BATCH), BATCH).total)


def _their_given(library: str, task: str, width: int, folder: Path) -> Step:
    del folder
    model, loss = _theirs(library, task, width)
    first, second = torch.rand(2, BATCH, 3, SIDE, SIDE)
    return _steps(model, lambda: loss(model(first), model(second)))


def _lightly_run(task: str, width: int, folder: Path) -> Step:
    """From stored images: arrays to PIL's images, two transformed views of each, batches of tensors."""
    del folder
    from lightly.transforms import BYOLTransform, SimCLRTransform
    from lightly.transforms.byol_transform import BYOLView1Transform, BYOLView2Transform
    from PIL import Image

    model, loss = _theirs("lightly", task, width)
    if task == "simclr":
        transform = SimCLRTransform(input_size=SIDE)
    else:  # The views of Barlow Twins are those of BYOL.
        one, other = BYOLView1Transform(input_size=SIDE), BYOLView2Transform(input_size=SIDE)
        transform = BYOLTransform(view_1_transform=one, view_2_transform=other)
    stored = np.random.default_rng(0).integers(0, 256, (STEPS * BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    batches = iter(torch.randperm(len(stored)).repeat(10_000).split(BATCH))

    def value() -> Tensor:
        views = [transform(Image.fromarray(stored[row])) for row in next(batches)]
        first, second = (torch.stack([view[number] for view in views]) for number in range(2))
        return loss(model(first), model(second))

    return _steps(model, value)


def _theirs(library: str, task: str, width: int) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    """Encoder and head, and the loss of both views' outputs; the head is lightly's for both."""
    from lightly.models.modules import BarlowTwinsProjectionHead, SimCLRProjectionHead

    torch.manual_seed(0)
    encoder = encoders.build("small_resnet", 3, SIDE)
    features = encoder.feature_dim
    if task == "simclr":
        head = SimCLRProjectionHead(features, features, 128)
    else:
        head = BarlowTwinsProjectionHead(features, width, width)
    return nn.Sequential(encoder, head), _their_loss(library, task)


def _their_loss(library: str, task: str) -> Callable[[Tensor, Tensor], Tensor]:
    if library == "lightly":
        from lightly.loss import BarlowTwinsLoss, NTXentLoss

        loss: Callable[[Tensor, Tensor], Tensor] = NTXentLoss() if task == "simclr" else BarlowTwinsLoss()
        return loss
    from solo.losses.barlow import barlow_loss_func
    from solo.losses.simclr import simclr_loss_func

    theirs: Callable[[Tensor, Tensor], Tensor] = simclr_loss_func if task == "simclr" else barlow_loss_func
    return theirs


def _steps(model: nn.Module, loss: Callable[[], Tensor]) -> Step:
    optimiser = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9)

    def run() -> None:
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss().backward()
            optimiser.step()

    return run


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=(__doc__ or "").splitlines()[0]))
