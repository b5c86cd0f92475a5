"""Data sets that torchvision reads without unpickling: a table of how each one spells its splits and its labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bdw.data.decode import decode, fit
from bdw.data.instances import Part, Pixels, UndecodableImageError
from bdw.data.readers.base import Request, SplitName, distinct, missing_data


@dataclass(frozen=True)
class TorchvisionSet:
    """One class of torchvision.datasets."""

    name: str
    title: str
    """Its class name."""
    splits: dict[SplitName, dict[str, Any]]
    """Constructor arguments of every split."""
    labels: Callable[[Any], Any]
    """All labels of a constructed data set, without decoding its images."""
    files: Callable[[Any], Any] | None = None
    """All image files of a constructed data set, where it keeps files; otherwise images come from indexing it."""
    channels: int = 3
    below_root: tuple[str, ...] = ()
    """Folders and files that it reads below the data root."""

    def source(self, request: Request) -> Part:
        """The training images; their labels are for reports only."""
        return self._part("train", request)

    def target(self, request: Request) -> dict[SplitName, Part]:
        """The official splits."""
        return {split: self._part(split, request) for split in self.splits}

    def _part(self, split: SplitName, request: Request) -> Part:
        root = request.path or request.root
        data = self._construct(split, root, request)
        labels = np.asarray(self.labels(data), dtype=np.int64)
        files = None if self.files is None else [Path(file) for file in self.files(data)]
        channels = request.channels or self.channels

        def read(i: int) -> Pixels:
            if files is not None:
                return decode(files[i], channels, request.image_size)
            try:
                image, _ = data[i]
            except (OSError, SyntaxError, ValueError) as error:
                raise UndecodableImageError(str(error)) from error
            return fit(image, channels, request.image_size)

        count = int(labels.max(initial=-1)) + 1
        classes = distinct(getattr(data, "classes", range(count)))
        return Part(
            names=[f"{split}/{i:06d}" for i in range(len(labels))],
            labels=labels,
            read=read,
            channels=channels,
            fingerprint={
                "reader": self.name,
                "part": split,
                "root": str(Path(root or ".").resolve()),
                "labels": hashlib.sha256(labels.tobytes()).hexdigest(),
            },
            classes=classes if len(classes) >= count else tuple(str(i) for i in range(count)),
        )

    def _construct(self, split: SplitName, root: Path | None, request: Request) -> Any:
        how = f"torchvision.datasets.{self.title}"
        if root is None:
            raise missing_data(request, how, None)
        import torchvision.datasets

        try:
            return getattr(torchvision.datasets, self.title)(
                root=str(root), download=request.download, **self.splits[split]
            )
        except (RuntimeError, OSError) as error:
            raise missing_data(request, f"{how}, which says: {error}", root) from error


def _flags(train: Any, test: Any, key: str) -> dict[SplitName, dict[str, Any]]:
    return {"train": {key: train}, "test": {key: test}}


_THREE_SPLITS: dict[SplitName, dict[str, Any]] = {
    "train": {"split": "train"},
    "validation": {"split": "val"},
    "test": {"split": "test"},
}
_TRAIN_FLAG = _flags(True, False, "train")

READERS = (
    TorchvisionSet("mnist", "MNIST", _TRAIN_FLAG, lambda d: d.targets, channels=1, below_root=("MNIST",)),
    TorchvisionSet(
        "fashion-mnist", "FashionMNIST", _TRAIN_FLAG, lambda d: d.targets, channels=1, below_root=("FashionMNIST",)
    ),
    TorchvisionSet("kmnist", "KMNIST", _TRAIN_FLAG, lambda d: d.targets, channels=1, below_root=("KMNIST",)),
    TorchvisionSet(
        "svhn",
        "SVHN",
        _flags("train", "test", "split"),
        lambda d: d.labels,
        below_root=("train_32x32.mat", "test_32x32.mat"),
    ),
    TorchvisionSet(
        "gtsrb",
        "GTSRB",
        _flags("train", "test", "split"),
        lambda d: [label for _, label in d._samples],
        lambda d: [file for file, _ in d._samples],
        below_root=("gtsrb",),
    ),
    TorchvisionSet(
        "dtd",
        "DTD",
        _THREE_SPLITS,
        lambda d: d._labels,
        lambda d: d._image_files,
        below_root=("dtd",),
    ),
    TorchvisionSet(
        "flowers102",
        "Flowers102",
        _THREE_SPLITS,
        lambda d: d._labels,
        lambda d: d._image_files,
        below_root=("flowers-102",),
    ),
    TorchvisionSet(
        "fgvc-aircraft",
        "FGVCAircraft",
        _THREE_SPLITS,
        lambda d: d._labels,
        lambda d: d._image_files,
        below_root=("fgvc-aircraft-2013b",),
    ),
    # The background alphabets and the evaluation alphabets share no characters, so one of them is all there is to
    # split: 20 drawings of each character.
    TorchvisionSet(
        "omniglot",
        "Omniglot",
        {"train": {"background": True}},
        lambda d: [label for _, label in d._flat_character_images],
        lambda d: [Path(d.target_folder, d._characters[label], file) for file, label in d._flat_character_images],
        channels=1,
        below_root=("omniglot-py",),
    ),
)
