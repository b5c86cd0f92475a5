"""Where to compute."""

from __future__ import annotations

import torch

from bdw.errors import InputError, unknown_option

CHOICES = ("auto", "cpu", "cuda")


def choose(wanted: str) -> torch.device:
    """The device of that name; `auto` takes the process's current GPU if there is one."""
    if wanted not in CHOICES:
        raise unknown_option("device", wanted, CHOICES)
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("device: 'cuda' was asked for, but torch sees no GPU here; allowed: auto, cpu")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())
