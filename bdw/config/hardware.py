"""Where the run computes, and in what precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bdw.config.fields import Free

Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    """Where the run computes, and in what precision."""

    device: Free[Literal["auto", "cpu", "cuda"]] = "auto"
    """Where to train; `auto` takes a GPU if there is one."""
    precision: Precision = "float32"
    """`float32` is exact; `tf32` rounds factors in convolutions to 11 bits (NVIDIA GPUs since Ampere); `bfloat16` lets
    the encoder train in it (8 bits), while parameters, losses, weights' derivatives and evaluation stay float32."""
    compile: Free[bool] = False
    """Compile the encoder for its training and meta passes (torch.compile; about a minute at the start, and a run that
    is resumed continues to rounding, not bit for bit). For long runs on a GPU."""
