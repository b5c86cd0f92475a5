"""How long random views take: ours against torchvision's and kornia's, side by side.

`python -m benchmarks.views` makes SimCLR's views (crop, flip, colour jitter, grey, blur) of the same stored images.

ours                    batched operations, every view with draws of its own
torchvision, each       torchvision's v2 transforms, an image at a time: every view with draws of its own
torchvision, batch      the same on the whole batch: one draw for all its images, which is no augmentation of a batch
kornia                  kornia's batched augmentations, every view with draws of its own; only where it is installed

Times are the processor's, of one thread, so that other work on the machine does not count.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import tyro
from torch import Tensor, nn
from torchvision.transforms import v2

from bdw.pretext.views import Augmentation
from bdw.pretext.views.augmentation import DEVIATIONS, JITTER, RATIO
from bdw.pretext.views.blur import kernel_side
from bdw.training.allocator import keep_freed_memory
from benchmarks.harness import interleaved_seconds, provenance, ratio, write_result

STORED = {32: 32, 224: 256}
"""Side of views in pixels -> side of the stored images."""


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    sides: tuple[int, ...] = tuple(STORED)
    """Sides of the views in pixels."""
    images: int = 64
    """Images of a batch; each gives one view."""
    rounds: int = 7
    """Batches that every variant makes."""
    seed: int = 0
    """Seed of all draws."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def variants(side: int, images: Tensor, seed: int) -> dict[str, Callable[[], Tensor]]:
    """Name -> a function that makes one view (n, 3, side, side) of each of the stored images (n, 3, h, w), uint8."""
    torch.manual_seed(seed)
    generator, ours = torch.Generator().manual_seed(seed), Augmentation(size=side)
    theirs = _torchvision(side)
    found = {
        "ours": lambda: ours(images, generator),
        "torchvision, each": lambda: torch.stack([theirs(image) for image in images]),
        "torchvision, batch": lambda: theirs(images),
    }
    if importlib.util.find_spec("kornia") is not None:
        kornia = _kornia(side)
        found["kornia"] = lambda: kornia(images.float() / 255)
    return found


def _torchvision(side: int) -> Callable[[Tensor], Tensor]:
    kernel = kernel_side(side)
    made: Callable[[Tensor], Tensor] = v2.Compose(
        [
            v2.RandomResizedCrop(side, scale=(0.08, 1), ratio=RATIO, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(*JITTER)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(kernel, DEVIATIONS)], p=0.5),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    return made


def _kornia(side: int) -> nn.Module:
    kornia = importlib.import_module("kornia.augmentation")

    kernel = kernel_side(side)
    return nn.Sequential(
        kornia.RandomResizedCrop((side, side), scale=(0.08, 1.0), ratio=RATIO),
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.ColorJitter(*JITTER, p=0.8),
        kornia.RandomGrayscale(p=0.2),
        kornia.RandomGaussianBlur((kernel, kernel), DEVIATIONS, p=0.5),
    )


def compare(arguments: Arguments) -> list[dict[str, Any]]:
    """Milliseconds of the processor for a batch, for every side and variant, and its ratio to ours."""
    rows: list[dict[str, Any]] = []
    for side in arguments.sides:
        stored = STORED.get(side, side)
        shape, generator = (arguments.images, 3, stored, stored), torch.Generator().manual_seed(arguments.seed)
        images = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
        seconds = interleaved_seconds(variants(side, images, arguments.seed), arguments.rounds, time.process_time)
        print(f"\n{arguments.images} images of {stored} pixels -> views of {side}")
        print(f"{'variant':20} {'ms':>8} {'times ours':>11} {'lowest':>8} {'highest':>8}")
        for name in seconds:
            median, low, high = ratio(seconds, name, "ours")
            milliseconds = 1000 * statistics.median(seconds[name])
            found = {"milliseconds": milliseconds, "ratio": median, "lowest": low, "highest": high}
            rows.append({"side": side, "stored": stored, "variant": name, **found})
            print(f"{name:20} {milliseconds:8.1f} {median:11.2f} {low:8.2f} {high:8.2f}", flush=True)
    return rows


def main() -> None:
    """Compare, and keep the result if asked to."""
    arguments = tyro.cli(Arguments)
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = compare(arguments)
    if arguments.save:
        write_result("views-cpu", {**provenance(arguments.seed), "images": arguments.images, "rows": rows})


if __name__ == "__main__":
    main()
