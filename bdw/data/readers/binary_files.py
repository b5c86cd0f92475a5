"""STL-10 and CIFAR from their authors' binary files, memory-mapped.

Both are read here rather than through torchvision's classes, for two reasons. torchvision reads 2.7 GB of STL-10 into
memory before it hands out the first image. And it reads CIFAR's Python version, which is pickled: unpickling runs
whatever the file says, and nothing is unpickled in this package, md5 sum or not. So CIFAR's binary version is wanted
(same images, same order). Downloads go through torchvision's downloader, which checks the archive's md5 sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bdw.data.decode import fit_array
from bdw.data.instances import Part, Pixels
from bdw.data.readers.base import Request, SplitName, missing_data
from bdw.errors import InputError


@dataclass(frozen=True)
class Files:
    """Records of one split: images in `images`, labels between them (CIFAR) or in a file of their own (STL-10)."""

    images: tuple[str, ...]
    labels: str | None = None


@dataclass(frozen=True)
class BinarySet:
    """A data set of fixed-size records: `label_bytes`, then one plane of side x side bytes for each colour."""

    name: str
    title: str
    """The class of torchvision.datasets that stands for the same data."""
    folder: str
    url: str
    md5: str
    download_size: str
    side: int
    class_names: str
    """File with one class name per line, in the order of the labels."""
    unlabelled: Files
    train: Files
    test: Files
    label_bytes: int = 0
    """Bytes before the pixels of a record; the last of them is the label."""
    columns_first: bool = False
    """Planes are stored column by column."""
    first_label: int = 0

    @property
    def below_root(self) -> tuple[str, ...]:
        """What it reads below the data root."""
        return (self.folder,)

    def source(self, request: Request) -> Part:
        """The unlabelled images; for CIFAR the training images."""
        return self._part(self._folder(request), self.unlabelled, "unlabelled", request)

    def target(self, request: Request) -> dict[SplitName, Part]:
        """The official train and test images."""
        folder = self._folder(request)
        return {
            "train": self._part(folder, self.train, "train", request),
            "test": self._part(folder, self.test, "test", request),
        }

    def _folder(self, request: Request) -> Path:
        root = request.path or request.root
        how = f"torchvision's {self.title}, binary version, {self.download_size}, or unpack {self.url} there"
        if root is None:
            raise missing_data(request, how, None)
        folder = root if root.name == self.folder else root / self.folder
        if not folder.is_dir() and request.download:
            from torchvision.datasets.utils import download_and_extract_archive

            try:
                download_and_extract_archive(self.url, str(root), filename=self.url.rsplit("/")[-1], md5=self.md5)
            except (OSError, RuntimeError) as error:
                raise InputError(
                    f"{request.option}: download of {self.url} to {str(root)!r} failed: {error}"
                ) from error
        if not folder.is_dir():
            raise missing_data(request, how, root)
        return folder

    def _part(self, folder: Path, files: Files, split: str, request: Request) -> Part:
        blocks = [self._records(folder / name, request) for name in files.images]
        # Which block an image lies in: the last one that starts at or before it.
        starts = np.cumsum([0] + [len(block) for block in blocks])
        count = int(starts[-1])
        classes = self._classes(folder, request)
        if files.labels is not None:
            labels = np.fromfile(_existing(folder / files.labels, request), dtype=np.uint8)
        elif self.label_bytes:
            labels = np.concatenate([np.asarray(block[:, self.label_bytes - 1]) for block in blocks])
        else:
            labels = None
        numbers = np.full(count, -1) if labels is None else labels.astype(np.int64) - self.first_label
        if len(numbers) != count or numbers.min(initial=-1) < -1 or numbers.max(initial=-1) >= len(classes):
            raise InputError(f"{request.option}: {str(folder)!r}: labels of {split} do not match its {count} images")
        channels = request.channels or 3

        def read(i: int) -> Pixels:
            block = int(np.searchsorted(starts, i, side="right")) - 1
            record = np.asarray(blocks[block][i - starts[block]])[self.label_bytes :]
            planes = record.reshape(3, self.side, self.side)
            picture = planes.transpose(2, 1, 0) if self.columns_first else planes.transpose(1, 2, 0)
            return fit_array(picture, channels, request.image_size)

        statuses = [(folder / name).stat() for name in files.images]
        return Part(
            names=[f"{split}/{i:06d}" for i in range(count)],
            labels=numbers,
            read=read,
            channels=channels,
            fingerprint={
                "reader": self.name,
                "part": split,
                "path": str(folder.resolve()),
                "files": [[status.st_size, status.st_mtime_ns] for status in statuses],
            },
            classes=() if labels is None else classes,
        )

    def _records(self, file: Path, request: Request) -> NDArray[np.uint8]:
        size = self.label_bytes + 3 * self.side * self.side
        length = _existing(file, request).stat().st_size
        if length == 0 or length % size:
            raise InputError(
                f"{request.option}: {str(file)!r} has {length} bytes, not a multiple of {size}; "
                "truncated? Download it again"
            )
        return np.memmap(file, dtype=np.uint8, mode="r", shape=(length // size, size))

    def _classes(self, folder: Path, request: Request) -> tuple[str, ...]:
        text = _existing(folder / self.class_names, request).read_text(encoding="utf-8")
        return tuple(line.strip() for line in text.splitlines() if line.strip())


READERS = (
    BinarySet(
        name="stl10",
        title="STL10",
        folder="stl10_binary",
        url="http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
        md5="91f7769df0f17e558f3565bffb0c7dfb",
        download_size="2.6 GB",
        side=96,
        class_names="class_names.txt",
        unlabelled=Files(("unlabeled_X.bin",)),
        train=Files(("train_X.bin",), "train_y.bin"),
        test=Files(("test_X.bin",), "test_y.bin"),
        columns_first=True,
        first_label=1,
    ),
    BinarySet(
        name="cifar10",
        title="CIFAR10",
        folder="cifar-10-batches-bin",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        download_size="170 MB",
        side=32,
        class_names="batches.meta.txt",
        unlabelled=Files(tuple(f"data_batch_{i}.bin" for i in range(1, 6))),
        train=Files(tuple(f"data_batch_{i}.bin" for i in range(1, 6))),
        test=Files(("test_batch.bin",)),
        label_bytes=1,
    ),
    BinarySet(
        name="cifar100",
        title="CIFAR100",
        folder="cifar-100-binary",
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        download_size="169 MB",
        side=32,
        class_names="fine_label_names.txt",
        unlabelled=Files(("train.bin",)),
        train=Files(("train.bin",)),
        test=Files(("test.bin",)),
        label_bytes=2,
    ),
)


def _existing(file: Path, request: Request) -> Path:
    if not file.is_file():
        raise InputError(f"{request.option}: {str(file)!r} is missing; the data set is incomplete, download it again")
    return file
