"""Whether torch can use the GPU that a run asked for or reserved: the driver that is there, and the one torch wants."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import warnings
from pathlib import Path

import torch

from bdw.errors import InputError

OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
"""Major version of CUDA -> oldest branch of NVIDIA's driver for Linux that runs programs built for it (NVIDIA, "CUDA
Compatibility", table 1)."""
VERSION_FILE = Path("/proc/driver/nvidia/version")


def trouble() -> str | None:
    """Why a computation on this process's current GPU fails, with the driver and what torch wants; None if it works."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of an old driver; the same is said below.
        sees_one = torch.cuda.is_available()
    if not sees_one:
        why = "torch sees no GPU"
        if "CUDA_VISIBLE_DEVICES" in os.environ:
            why += f" (CUDA_VISIBLE_DEVICES is {os.environ['CUDA_VISIBLE_DEVICES']!r})"
        return f"{why}; {drivers()}"
    try:
        # A GPU that torch counts may still be one that it was not built for, or a broken one.
        torch.ones(1, device="cuda").add(1).item()
    except RuntimeError as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"a first computation failed ({first}); {drivers()}"
    return None


def require_reserved(field: str, gpus: float) -> None:
    """Raise `InputError` if a worker for which `gpus` GPUs are reserved cannot compute on one, instead of using the
    CPU."""
    if gpus and (found := trouble()) is not None:
        raise InputError(
            f"{field}: {gpus:g} GPU reserved on {socket.gethostname()}, but it cannot be used: {found}; allowed: 0, or "
            "a machine on which `python -m bdw doctor --gpu` finds nothing wrong"
        )


def drivers(version: str | None = None) -> str:
    """The driver of that version, by default the installed one, and the driver that torch wants, in words."""
    installed = version or driver_version()
    there = f"driver {installed} is installed" if installed else "no NVIDIA driver was found"
    if torch.version.cuda is None:
        return f"{there}, and torch {torch.__version__} is built without CUDA"
    wanted = wanted_driver()
    return f"{there}, torch {torch.__version__} is built for CUDA {torch.version.cuda}" + (
        f" and wants driver {wanted} or newer" if wanted else ""
    )


def driver_version(version_file: Path | None = None) -> str | None:
    """The version of NVIDIA's driver on this machine, such as "580.65.06"; None if none is found."""
    try:
        text = (version_file or VERSION_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = _told_by_nvidia_smi()
    found = re.search(r"\b(\d{3,}(?:\.\d+)+)\b", text)
    return found[1] if found else None


def wanted_driver() -> int | None:
    """The oldest branch of the driver that this torch runs with; None if it is built without CUDA, or for a CUDA that
    `OLDEST_DRIVER` does not know."""
    return OLDEST_DRIVER.get(int(torch.version.cuda.split(".")[0])) if torch.version.cuda else None


def is_too_old(version: str) -> bool:
    """Whether a driver of that version is older than torch wants."""
    wanted = wanted_driver()
    return wanted is not None and int(version.split(".")[0]) < wanted


def _told_by_nvidia_smi() -> str:
    """On systems without the driver's file, such as WSL."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
