"""Images by index on the training device: resident there when they fit, otherwise gathered from the memory map."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Leaves room for activations and parameters, which are larger than anything else here.
SHARE_OF_DEVICE_MEMORY = 0.25


class ImageTable:
    """uint8 images (n, c, h, w); `table[indices]` gives (k, c, h, w) uint8 on the device."""

    def __init__(self, images: NDArray[np.uint8], device: torch.device):
        self._device = device
        self._mapped = images
        self._resident = torch.from_numpy(np.array(images)).to(device) if _is_resident(images, device) else None

    def __len__(self) -> int:
        return len(self._mapped)

    def __getitem__(self, indices: Tensor) -> Tensor:
        if self._resident is not None:
            return self._resident[indices.to(self._device)]
        # Sorted reads walk through the memory map in one direction.
        order = torch.argsort(indices)
        gathered = torch.from_numpy(self._mapped[indices[order].numpy()])
        return gathered[torch.argsort(order)].to(self._device)


def _is_resident(images: NDArray[np.uint8], device: torch.device) -> bool:
    """Whether the table holds the images itself.

    On the CPU a memory map stays one: the page cache holds what is used.
    """
    if device.type != "cuda":
        return not isinstance(images, np.memmap)
    return images.nbytes <= SHARE_OF_DEVICE_MEMORY * torch.cuda.mem_get_info(device)[0]
