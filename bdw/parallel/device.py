"""Where to compute."""

from __future__ import annotations

import torch

from bdw.errors import InputError, unknown_option
from bdw.parallel import gpu

CHOICES = ("auto", "cpu", "cuda")


def choose(wanted: str) -> torch.device:
    """The device of that name; `auto` takes the process's current GPU if there is one.

    Raises `InputError` for a name that is not known, and for `cuda` where torch cannot compute on a GPU.
    """
    if wanted not in CHOICES:
        raise unknown_option("device", wanted, CHOICES)
    if wanted == "cuda" and (trouble := gpu.trouble()) is not None:
        raise InputError(f"device: 'cuda' was asked for, but {trouble}; allowed: auto, cpu")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())
