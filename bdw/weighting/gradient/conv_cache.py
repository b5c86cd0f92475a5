"""Convolutions that the training pass has made and the tangent pass need not make again.

Both see the same views at the same parameters, so what a convolution put out in the one is its value in the other.
Keeping all of them until then would cost more memory than the meta pass; those of deep layers are small for the work
that is in them. Of a ResNet-18 half the work lies in a ninth of the outputs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

WORTH_KEEPING = 2000
"""Multiply-adds for each number of the output, from which it is kept: 3x3 kernels on 223 channels and more."""


class ConvCache(TorchFunctionMode):
    """A context manager around a training pass. A second pass that makes the same calls iterates over it, once.

    Only `torch.conv2d` is looked at, which is what `nn.Conv2d` calls. Nothing between a convolution and the images may
    be drawn anew in the second pass (dropout), and what is written through `.data` goes unnoticed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._outputs: deque[tuple[Tensor, int] | None] = deque()

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """`func(*args, **kwargs)`."""
        result = func(*args, **(kwargs or {}))
        if func is torch.conv2d:
            kernel = args[1] if len(args) > 1 else (kwargs or {})["weight"]
            kept = result.detach() if kernel[0].numel() >= WORTH_KEEPING else None
            self._outputs.append(None if kept is None else (kept, kept._version))
        return result

    def __iter__(self) -> Iterator[Tensor | None]:
        """Call by call its output without graph; None where it was not kept, or was written to since."""
        while self._outputs:
            entry = self._outputs.popleft()  # nothing is held longer than it is needed
            yield None if entry is None or entry[0]._version != entry[1] else entry[0]
