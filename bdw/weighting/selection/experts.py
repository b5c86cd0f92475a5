"""Experts of Neural Data Server: small networks that recognise rotations, each trained on one part of a pool, and kept
in the cache folder for every target to come."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw import encoders, pretext
from bdw.config.selector_options import NeuralDataServerOptions
from bdw.data.augment import random_crop_flip, to_float
from bdw.data.packed import PackedDataset
from bdw.errors import InputError
from bdw.parallel.randomness import Randomness, drawn_from
from bdw.pretext import PretextModel
from bdw.storage.tensor_file import contents_of, tensors_in, write_tensors
from bdw.weighting.selection.cost import Stopwatch
from bdw.weighting.selection.protocol import Toolkit

TASK = "rotation"
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
PADDING = 8
"""A side of an image in units of the padding before its random crop."""
BATCH = 256
"""Target images whose rotations are recognised at a time."""


@dataclass(frozen=True, eq=False)
class Job:
    """One expert to be trained. Another process opens the source anew, which must be where it is here."""

    source: PackedDataset
    rows: NDArray[np.int64]
    """Its part of the pool."""
    options: NeuralDataServerOptions
    seed: int
    file: Path
    device: str

    def __call__(self) -> Expert:
        """Train the expert."""
        watch = Stopwatch()
        model, images = trained(self)
        tensors = {name: value.cpu() for name, value in model.state_dict().items()}
        return Expert(self.file, tensors, watch.seconds, images)


class Expert(NamedTuple):
    """What came of a job."""

    file: Path
    """Where it is to be kept."""
    tensors: dict[str, Tensor]
    """The model's state."""
    seconds: float
    images: int
    """That passed through its training."""

    def write(self) -> None:
        """Keep it."""
        write_tensors(self.file, self.tensors, {"seconds": repr(self.seconds), "images": str(self.images)})


def trained(job: Job) -> tuple[PretextModel, int]:
    """The expert, and how many images passed through its training."""
    options, device = job.options, torch.device(job.device)
    size, randomness = job.source.images.shape[-1], Randomness(job.seed)
    model = blank(options, job.source.channels, size, job.seed).to(device).train()
    batch = min(options.expert_batch, len(job.rows))
    steps = math.ceil(options.expert_images / batch)
    optimiser = torch.optim.SGD(
        model.parameters(), lr=options.expert_learning_rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for rows in _batches(job.rows, batch, steps, randomness["order"]):
        images = torch.from_numpy(np.asarray(job.source.images)[rows]).to(device)
        views = model.task.views(
            images,
            lambda stored: random_crop_flip(stored, size, size // PADDING, False, randomness["augmentation"]),
            randomness["views"],
        )
        loss = model.task.losses(model(views)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return model, steps * batch


def blank(options: NeuralDataServerOptions, channels: int, size: int, seed: int) -> PretextModel:
    """An expert before training, drawn from the seed."""
    with drawn_from(Randomness(seed)["model"]):
        encoder = encoders.build(options.expert, channels, size)
        return PretextModel(encoder, pretext.build(TASK, encoder))


def accuracy(model: PretextModel, images: NDArray[np.uint8], device: torch.device) -> float:
    """Share of the four rotations of these images (m, c, h, w), whole, that the expert recognises."""
    model = model.to(device).eval()
    hits = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            some = torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH])).to(device)
            found = model(model.task.views(some, to_float, torch.Generator())).hits
            assert found is not None, "rotations are right or wrong"
            hits.append(found)
    return float(torch.cat(hits).mean())


def features(model: PretextModel, images: NDArray[np.uint8], device: torch.device) -> NDArray[np.float32]:
    """What the expert's encoder makes (m, d) of these images (m, c, h, w), whole."""
    encoder = model.encoder.to(device).eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            some = torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH])).to(device)
            found.append(encoder(to_float(some)).float().cpu())
    return np.asarray(torch.cat(found).numpy())


def read_expert(file: Path, model: PretextModel) -> tuple[float, int] | None:
    """Put the expert of a file into the model: the seconds and images of its training; None if there is none."""
    with contextlib.suppress(InputError, KeyError, ValueError, RuntimeError):
        tensors, metadata = tensors_in(contents_of(file, "expert"), f"expert {file}")
        seconds, images = float(metadata["seconds"]), int(metadata["images"])
        model.load_state_dict(tensors, strict=True)
        return seconds, images
    return None


def asked(jobs: Sequence[Job], ask: Callable[[PretextModel], float], count: int, toolkit: Toolkit) -> list[float]:
    """What every expert says of so many target images; those that are not there yet are trained first, side by side
    where the toolkit can."""
    images = jobs[0].source.images
    model = blank(jobs[0].options, images.shape[1], images.shape[-1], jobs[0].seed)
    missing = [job for job in jobs if read_expert(job.file, model) is None]
    tell = toolkit.told("training experts")
    with toolkit.meter.aside():
        for done, expert in enumerate(toolkit.in_parallel(missing), start=1):
            expert.write()
            if tell is not None:
                tell(done, len(missing))
    found = []
    for job in jobs:
        cost = read_expert(job.file, model)
        assert cost is not None, "trained by now"
        toolkit.meter.reuse(*cost, trained=True)
        found.append(ask(model))
        toolkit.meter.count(count)
    return found


def _batches(rows: NDArray[np.int64], size: int, steps: int, generator: torch.Generator) -> list[NDArray[np.int64]]:
    """So many batches of the rows, each pass over them in a new order."""
    passes = math.ceil(steps * size / len(rows))
    order: list[Tensor] = [torch.randperm(len(rows), generator=generator) for _ in range(passes)]
    return list(rows[torch.cat(order).numpy()[: steps * size]].reshape(steps, size))
