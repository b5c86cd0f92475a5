"""Images by index on the training device: resident there when they fit, otherwise gathered from the memory map."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Leaves room for activations and parameters, which are larger than anything else here.
SHARE_OF_DEVICE_MEMORY = 0.25

AHEAD_FROM = 256 * 2**20
"""Size in bytes from which batches of a memory map are fetched ahead. A smaller map stays in the page cache, and
gathering a batch from there takes less time than waking a thread."""


class ImageTable:
    """uint8 images (n, c, h, w); `table[indices]` gives (k, c, h, w) uint8 on the device."""

    def __init__(self, images: NDArray[np.uint8], device: torch.device):
        self._device = device
        # The base class, since every slice of a memmap is made a memmap again.
        self._rows: NDArray[np.uint8] = np.asarray(images)
        self._mapping: mmap.mmap | None = getattr(images, "_mmap", None)
        self._resident = torch.from_numpy(np.array(images)).to(device) if _is_resident(images, device) else None
        is_slow = device.type == "cuda" or (self._mapping is not None and images.nbytes >= AHEAD_FROM)
        self._is_fetched_ahead = self._resident is None and is_slow
        self._copies = torch.cuda.Stream(device) if self._is_fetched_ahead and device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Tensor) -> Tensor:
        if self._resident is not None:
            return self._resident[indices.to(self._device)]
        # numpy's `take` copies whole rows; torch's indexing of a CPU tensor copies byte by byte, ten times slower.
        return torch.from_numpy(self._rows.take(indices.numpy(), axis=0)).to(self._device)

    def batches(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        """The images of each of these batches, in order.

        A thread fetches a batch from a large memory map, or brings it to the device, while the caller works on the
        batch before. Nothing is drawn here, so that no result depends on it.
        """
        if not self._is_fetched_ahead:
            yield from (self[each] for each in indices)
            return
        coming = iter(indices)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="images") as reader:

            def fetch_next() -> Future[Tensor] | None:
                each = next(coming, None)
                return None if each is None else reader.submit(self._fetch, each)

            ahead = fetch_next()
            while ahead is not None:
                images = self._arrived(ahead.result())
                ahead = fetch_next()
                yield images

    def _fetch(self, indices: Tensor) -> Tensor:
        """The batch on its way to the device."""
        self._announce(indices)
        if self._copies is None:
            return self[indices]
        pinned = torch.empty(len(indices), *self._rows.shape[1:], dtype=torch.uint8, pin_memory=True)
        np.take(self._rows, indices.numpy(), axis=0, out=pinned.numpy())
        with torch.cuda.stream(self._copies):
            return pinned.to(self._device, non_blocking=True)

    def _arrived(self, images: Tensor) -> Tensor:
        """The same batch, safe to be used on the device's current stream."""
        if self._copies is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(self._copies)
            images.record_stream(current)
        return images

    def _announce(self, indices: Tensor) -> None:
        """Let the kernel read all these rows from the disk at once instead of one after the other, when they are
        touched: 15 times sooner on an SSD."""
        if self._mapping is None or not hasattr(mmap, "MADV_WILLNEED"):
            return
        row, size = self._rows.strides[0], self._rows[0].nbytes
        first = self._rows.ctypes.data - np.frombuffer(self._mapping, dtype=np.uint8).ctypes.data
        for index in indices.tolist():
            begins = first + index * row
            page = begins - begins % mmap.PAGESIZE
            self._mapping.madvise(mmap.MADV_WILLNEED, page, begins + size - page)


def _is_resident(images: NDArray[np.uint8], device: torch.device) -> bool:
    """Whether the device holds a copy of the images. On the CPU they are at hand as they are."""
    return device.type == "cuda" and images.nbytes <= SHARE_OF_DEVICE_MEMORY * torch.cuda.mem_get_info(device)[0]
