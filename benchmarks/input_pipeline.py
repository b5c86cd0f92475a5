"""How fast images reach the model, and what share of a step it waits for them.

`python -m benchmarks.input_pipeline [--data-root DIR]` compares whole passes over the same images, the loaders taking
turns. All of them crop, pad, flip, scale to [-1, 1] and turn every image by four right angles.

ours               whole batches gathered from the packed store by index, augmented and turned as tensors
files, N workers   torchvision and DataLoader: encoded files from memory, decoded and augmented one at a time, as the
                   authors' code does
packed, N workers  the same DataLoader over the packed store: nothing to decode, but still one image at a time

Images are files of DIR (STL-10 at 96 pixels, CIFAR-10 at 32), or smooth random pictures as JPEG. After that, real
training steps are profiled (see `benchmarks.profile_step`), of which the model waits for images a share.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bdw import encoders
from bdw.data.augment import random_crop_flip
from bdw.data.batches import epoch_order, global_batches
from bdw.data.image_table import ImageTable
from bdw.pretext.rotation import Rotation
from bdw.training.allocator import keep_freed_memory
from benchmarks import profile_step
from benchmarks.harness import interleaved_seconds, provenance, ratio, write_result


@dataclass(frozen=True)
class Setting:
    """What images become, and where real ones are."""

    side: int
    """Side of the packed image in pixels."""
    crop: int
    padding: int
    batch: int
    file: str
    """File under the data root; its images have that side already."""
    preset: str
    """Preset of real training steps on such images."""


SETTINGS = {
    "stl10": Setting(96, 84, 0, 32, "stl10-unlabelled.npz", "stl10"),
    "cifar10": Setting(32, 32, 4, 64, "cifar10-train.npz", "tiny_imagenet"),
}


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    setting: Literal["stl10", "cifar10"] = "stl10"
    """Sizes of images, crops and batches."""
    data_root: str | None = None
    """Folder with the .npz files; without it, random pictures."""
    images: int = 2048
    """Images of a pass; if real ones are few, they are repeated."""
    rounds: int = 7
    """Passes of every loader."""
    workers: tuple[int, ...] = (0, 2)
    """Processes of a DataLoader; 0 loads in the main process."""
    threads: int = 1
    """torch's threads in the main process."""
    waiting: tuple[Literal["stl10", "tiny_imagenet", "digits"], ...] = ("stl10", "digits")
    """Presets of the real training steps in which waiting is measured (small images at random, digits as they are);
    none leaves it out."""
    steps: int = 4
    """So many for `stl10`, ten times as many for small images."""
    seed: int = 0
    """Seed of all draws."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def encoded_images(setting: Setting, count: int, data_root: str | None, seed: int) -> list[bytes]:
    """So many image files of that side: real ones, over and over, or smooth random pictures as JPEG."""
    if data_root is None:
        rng = np.random.default_rng(seed)
        return [_random_jpeg(setting.side, rng) for _ in range(count)]
    with np.load(Path(data_root) / setting.file, allow_pickle=False) as arrays:
        data, offsets = arrays["data"], arrays["offsets"]
    files = [data[offsets[i] : offsets[i + 1]].tobytes() for i in range(min(count, len(offsets) - 1))]
    return [files[i % len(files)] for i in range(count)]


def _random_jpeg(side: int, rng: np.random.Generator) -> bytes:
    coarse = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
    stream = io.BytesIO()
    coarse.resize((side, side), Image.Resampling.BICUBIC).save(stream, format="JPEG", quality=92)
    return stream.getvalue()


def decoded(files: list[bytes]) -> NDArray[np.uint8]:
    """(n, 3, side, side), as a packed store holds them."""
    return np.stack([np.asarray(_image(file)).transpose(2, 0, 1) for file in files])


def _image(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file)).convert("RGB")


class OneAtATime(Dataset[Tensor]):
    """Four views (4, 3, s, s) of one image, decoded from its file or taken from the packed store."""

    def __init__(self, setting: Setting, source: list[bytes] | NDArray[np.uint8]):
        self._source = source
        steps: list[Any] = [
            transforms.RandomCrop(setting.crop, padding=setting.padding or None),
            transforms.RandomHorizontalFlip(),
        ]
        # Files become tensors after crop and flip, which Pillow does faster; both end in [-1, 1].
        to_tensor: Any = (
            transforms.ToTensor() if isinstance(source, list) else transforms.ConvertImageDtype(torch.float)
        )
        self._transform = transforms.Compose([*steps, to_tensor, transforms.Normalize(0.5, 0.5)])

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Tensor:
        if isinstance(self._source, list):
            image: Tensor = self._transform(_image(self._source[index]))
        else:
            image = self._transform(torch.from_numpy(self._source[index].copy()))
        return torch.stack([torch.rot90(image, quarter, (1, 2)) for quarter in range(4)])


def our_batches(setting: Setting, table: ImageTable, generator: torch.Generator) -> Iterator[Tensor]:
    """The views (4k, 3, s, s) of an epoch's batches, made as in training."""
    with torch.device("meta"):
        task = Rotation(encoders.build("small_cnn", 3, setting.crop))

    def crop(images: Tensor) -> Tensor:
        return random_crop_flip(images, setting.crop, setting.padding, True, generator)

    indices = global_batches(epoch_order(torch.arange(len(table)), generator), setting.batch)
    for images in table.batches(indices):
        yield task.views(images, crop, generator).inputs[0]


def passes(
    setting: Setting, files: list[bytes], packed: NDArray[np.uint8], workers: tuple[int, ...], seed: int
) -> dict[str, Callable[[], int]]:
    """Every loader by name: a function that goes through all images once and returns how many views came out."""
    table, generator = ImageTable(packed, torch.device("cpu")), torch.Generator().manual_seed(seed)
    loaders: dict[str, Callable[[], int]] = {
        "ours": lambda: sum(len(views) for views in our_batches(setting, table, generator))
    }
    sources: dict[str, list[bytes] | NDArray[np.uint8]] = {"files": files, "packed": packed}
    for name, source in sources.items():
        for count in workers:
            loader = DataLoader(
                OneAtATime(setting, source),
                batch_size=setting.batch,
                shuffle=True,
                num_workers=count,
                persistent_workers=count > 0,
                generator=torch.Generator().manual_seed(seed),
            )
            loaders[f"{name}, {count} workers"] = lambda loader=loader: sum(  # type: ignore[misc]
                len(views.flatten(0, 1)) for views in loader
            )
    return loaders


def compare(arguments: Arguments) -> dict[str, Any]:
    """Images per second of every loader, and how many times as fast ours is."""
    setting = SETTINGS[arguments.setting]
    files = encoded_images(setting, arguments.images, arguments.data_root, arguments.seed)
    packed = decoded(files)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "images.npy", packed)
        mapped = np.load(Path(folder) / "images.npy", mmap_mode="r")
        loaders = passes(setting, files, mapped, arguments.workers, arguments.seed)
        seconds = interleaved_seconds(loaders, arguments.rounds)
    rows: list[dict[str, Any]] = []
    print(f"\n{arguments.setting}: {arguments.images} images of {len(files[0]) / 1000:.1f} kB, {setting}")
    print(f"{'loader':20} {'images/s':>10} {'ours is':>9} {'lowest':>8} {'highest':>8}  times as fast")
    for name in loaders:
        median, low, high = ratio(seconds, name, "ours")
        rate = arguments.images / sorted(seconds[name])[arguments.rounds // 2]
        rows.append({"loader": name, "images_per_second": rate, "ratio": median, "lowest": low, "highest": high})
        print(f"{name:20} {rate:10,.0f} {median:9.1f} {low:8.1f} {high:8.1f}", flush=True)
    return {"setting": vars(setting), "images": arguments.images, "loaders": rows}


def measure_waiting(preset: str, steps: int, threads: int) -> dict[str, Any]:
    """The share of real training steps, weighted and plain, in which the model waits for images."""
    torch.set_num_threads(threads)
    shares: dict[str, Any] = {"preset": preset, "steps": steps}
    for settings in ("BDW", "RotNet"):
        random = None if preset == "digits" else 1024
        chosen = profile_step.Arguments(preset=preset, settings=settings, random=random)
        with tempfile.TemporaryDirectory() as folder:
            found = profile_step.profile(profile_step.trainer_of(chosen, Path(folder)), steps)
        shares[settings] = {"waiting": found.waiting, "step_ms": 1000 * found.total / steps}
        print(f"{preset:14} {settings:7} waits {found.waiting:6.2%} of a step of {1000 * found.total / steps:.1f} ms")
    return shares


def main(arguments: Arguments) -> None:
    """Compare the loaders, measure waiting, and keep both if asked to."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    keep_freed_memory()  # as runs do, and for all loaders alike
    result = compare(arguments)
    print("", flush=True)
    waiting = [
        measure_waiting(preset, arguments.steps * (1 if preset == "stl10" else 10), arguments.threads)
        for preset in arguments.waiting
    ]
    if arguments.save:
        contents = {**provenance(arguments.seed), **result, "waiting": waiting}
        write_result(f"input-pipeline-{arguments.setting}-cpu", contents, data_root=arguments.data_root)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
